"""`label-bank`: description embeddings for a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photoindex.terminal.json_output import print_json
from photoindex.terminal.progress import meter
from photoindex.terminal.wording import count, shown


def label_bank(
    descriptions: Annotated[
        Path, typer.Argument(help="Tags and their descriptions, as add-concept takes them.")
    ],
    clip: Annotated[
        str, typer.Option(help="ViT-B-16.pt, a model folder, or sketch: whose text tower reads.")
    ],
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")] = Path(
        "label-bank.safetensors"
    ),
    tags: Annotated[
        Path | None, typer.Option(help="Only these tags in this order, one a line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
) -> None:
    """Embed the descriptions of every tag: the frozen label embeddings that training reads."""
    if out.exists():
        raise typer.BadParameter(f"{out} is there already: name a new file")
    from photoindex.concept_file import read_concepts

    concepts = read_concepts(descriptions)

    from ram_tagger.label_bank import build_bank, chosen_concepts, open_clip_of, write_bank

    if tags is not None:
        concepts = chosen_concepts(concepts, tags)
    with meter() as progress:
        bank = build_bank(concepts, open_clip_of(clip), progress)
    write_bank(out, [concept.name for concept in concepts], bank, clip)
    rows = len(bank.embeddings)
    typer.echo(f"{shown(out)}: {count(len(bank), 'tag')}, {count(rows, 'description')}", err=True)
    if as_json:
        print_json({"file": shown(out), "tags": len(bank), "descriptions": rows})
