"""The command `ram-tagger`: parse, call, print."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from photoindex.concept_file import read_concepts
from photoindex.errors import ConceptError
from photoindex.tagger import Tag
from ram_tagger.errors import RamTaggerError
from ram_tagger.sources import BUNDLED

app = typer.Typer(
    help="Tag pictures with RAM++ in English and Chinese, in any vocabulary.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


class Precision(StrEnum):
    """What `--precision` takes."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@app.command(epilog="Example: ram-tagger tag holiday.jpg --model-dir models/ram_plus --json")
def tag(
    images: Annotated[list[Path], typer.Argument(help="Pictures to tag.")],
    model_dir: Annotated[
        Path | None, typer.Option(help="A model folder (default: the bundled sketch).")
    ] = None,
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto is bf16 where that is fast and the model large.")
    ] = Precision.AUTO,
) -> None:
    """Print the tags of pictures, both languages, most probable first.

    The bundled model knows drawn scenes only; photographs need the published RAM++ weights.
    """
    if model_dir is not None and weights is not None:
        raise typer.BadParameter("give --model-dir or --weights, not both")
    asked = read_concepts(concepts) if concepts is not None else []

    from ram_tagger.tagging import open_tagger, tag_pictures

    tagger = open_tagger(model_dir or BUNDLED, weights, device, precision)
    failed = False
    for path, result in tag_pictures(tagger, images, asked, threshold):
        if isinstance(result, RamTaggerError):
            typer.echo(f"ram-tagger: {result}", err=True)
            failed = True
        else:
            typer.echo(_json_line(path, result) if as_json else _lines(path, result))
    if failed:
        raise typer.Exit(3)


@app.command(epilog="Example: ram-tagger convert ram_plus_swin_large_14m.pth models/ram_plus")
def convert(
    weights: Annotated[Path, typer.Argument(help="A published RAM++ .pth.")],
    folder: Annotated[Path, typer.Argument(help="The model folder to write.")],
    clip: Annotated[Path | None, typer.Option(help="ViT-B-16.pt (default: beside it).")] = None,
    tag_lists: Annotated[
        Path | None,
        typer.Option(help="Folder of ram_tag_list*.txt (default: the weights' own)."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
) -> None:
    """Turn published weights into a model folder of safetensors that opens at once."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise typer.BadParameter(f"{folder} is there already: name a new folder")

    from ram_tagger.convert import convert as convert_files

    config = convert_files(weights, folder, name or weights.stem, clip, tag_lists)
    typer.echo(f"{folder}: model {config.model_id}", err=True)


def _lines(path: Path, tags: tuple[Tag, ...]) -> str:
    english = " | ".join(f"{tag.name} {tag.probability:.2f}" for tag in tags)
    chinese = " | ".join(tag.name_zh for tag in tags if tag.name_zh)
    return f"{_shown(path)}\n  {english or '(no tag)'}\n  {chinese}".rstrip()


def _json_line(path: Path, tags: tuple[Tag, ...]) -> str:
    table = {"path": _shown(path), "tags": [asdict(tag) for tag in tags]}
    return json.dumps(table, ensure_ascii=False)


def _shown(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


def _usage(error: TyperException) -> str:
    """One line; a bare `ram-tagger` shows the help instead."""
    text, context = error.format_message(), getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return text
    where = context.command_path if context else "ram-tagger"
    text = re.sub(r"Input should be a valid number, .*", "give a number, such as 0.5", text)
    return f"ram-tagger: {text.replace(': Value error, ', ': ').rstrip('.')} ({where} -h)"


def main() -> None:
    """Run the command; errors become one line on stderr and exit code 2 or 3."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot write Chinese is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(prog_name="ram-tagger", standalone_mode=False))
    except TyperException as error:
        sys.stderr.write(_usage(error) + "\n")
        sys.exit(error.exit_code)
    except ConceptError as error:
        sys.stderr.write(f"ram-tagger: {error}\n")
        sys.exit(2)
    except RamTaggerError as error:
        sys.stderr.write(f"ram-tagger: {error}\n")
        sys.exit(3)
