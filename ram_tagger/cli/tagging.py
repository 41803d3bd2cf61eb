"""`tag` and `convert`: using a model, and making one from published weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.terminal.json_output import print_json_line
from photoindex.terminal.wording import shown
from ram_tagger.cli.options import Device, ModelDir, Precision, PrecisionOption
from ram_tagger.errors import RamTaggerError

if TYPE_CHECKING:
    from photoindex.tagger import Tag


def tag(
    images: Annotated[list[Path], typer.Argument(help="Pictures to tag.")],
    model_dir: ModelDir = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A published .pth, its tag lists and ViT-B-16.pt beside it."),
    ] = None,
    concepts: Annotated[
        Path | None, typer.Option(help="Tag by these concepts instead of the vocabulary.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="One for all tags, not each tag's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture.")] = False,
    device: Device = "auto",
    precision: PrecisionOption = Precision.AUTO,
) -> None:
    """Print the tags of pictures, both languages, most probable first.

    The bundled model knows drawn scenes only; photographs need the published RAM++ weights.
    """
    if model_dir is not None and weights is not None:
        raise typer.BadParameter("give --model-dir or --weights, not both")
    from photoindex.concept_file import read_concepts

    asked = read_concepts(concepts) if concepts is not None else []

    from ram_tagger.sources import BUNDLED
    from ram_tagger.tagging import open_tagger, tag_pictures

    tagger = open_tagger(model_dir or BUNDLED, weights, device, precision)
    failed = False
    for path, result in tag_pictures(tagger, images, asked, threshold):
        if isinstance(result, RamTaggerError):
            typer.echo(f"ram-tagger: {result}", err=True)
            failed = True
        else:
            _print(path, result, as_json)
    if failed:
        raise typer.Exit(3)


def convert(
    weights: Annotated[Path, typer.Argument(help="A published RAM++ .pth.")],
    folder: Annotated[Path, typer.Argument(help="The model folder to write.")],
    clip: Annotated[Path | None, typer.Option(help="ViT-B-16.pt (default: beside it).")] = None,
    tag_lists: Annotated[
        Path | None,
        typer.Option(help="Folder of ram_tag_list*.txt (default: the weights' own)."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model (default: the weights' file name).")
    ] = None,
) -> None:
    """Turn published weights into a model folder of safetensors that opens at once."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise typer.BadParameter(f"{folder} is there already: name a new folder")

    from ram_tagger.convert import convert as convert_files

    config = convert_files(weights, folder, name or weights.stem, clip, tag_lists)
    typer.echo(f"{folder}: model {config.model_id}", err=True)


def _print(path: Path, tags: tuple[Tag, ...], as_json: bool) -> None:
    if as_json:
        print_json_line({"path": shown(path), "tags": [asdict(tag) for tag in tags]})
        return
    english = " | ".join(f"{tag.name} {tag.probability:.2f}" for tag in tags)
    chinese = " | ".join(tag.name_zh for tag in tags if tag.name_zh)
    typer.echo(f"{shown(path)}\n  {english or '(no tag)'}\n  {chinese}".rstrip())
