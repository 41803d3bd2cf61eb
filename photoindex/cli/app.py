"""The command `photoindex`: what there is, and how it ends."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from photoindex.cli import (
    concepts,
    demo,
    indexing,
    models,
    reporting,
    searching,
    tagging,
)
from photoindex.cli.grammar import AnywhereGroup, QueryCommand, usage_line
from photoindex.cli.session import Session
from photoindex.errors import PhotoindexError
from photoindex.terminal.wording import shown

app = typer.Typer(
    cls=AnywhereGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"photoindex {version('photoindex')}")
        raise typer.Exit


@app.callback(epilog="--library and --models-folder may also stand behind the command.")
def photoindex(
    context: typer.Context,
    library: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the library is.")
    ] = None,
    models_folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where models are kept.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """A local photo library, searched by tag and by any concept you can describe."""
    context.obj = Session(library, models_folder)


_EXAMPLE = "Example: photoindex "

app.command(epilog=_EXAMPLE + "watch ~/Pictures")(indexing.watch)
app.command(epilog=_EXAMPLE + "index ~/Pictures --exclude Screenshots")(indexing.index)
app.command(epilog=_EXAMPLE + "forget ~/Pictures/Scans")(indexing.forget)
app.command(cls=QueryCommand, epilog=_EXAMPLE + "search tabby cat -tag:dog after:2024-05")(
    searching.search
)
app.command(epilog=_EXAMPLE + "add-concept concepts.json")(concepts.add_concept)
app.add_typer(concepts.commands, name="concepts", epilog=_EXAMPLE + "concepts --json")
app.command(epilog=_EXAMPLE + "tags IMG_0815.jpg")(tagging.tags)
app.command(epilog=_EXAMPLE + "tag IMG_0815.jpg IMG_0816.jpg garden")(tagging.tag)
app.command(epilog=_EXAMPLE + "untag IMG_0815.jpg cat")(tagging.untag)
app.command(epilog=_EXAMPLE + "status --json")(reporting.status)
app.command(epilog=_EXAMPLE + "failures")(reporting.failures)
app.add_typer(models.commands, name="models", epilog=_EXAMPLE + "models")
app.command(epilog=_EXAMPLE + "demo --folder photoindex-demo")(demo.demo)


class _LinesOnStderr(logging.Handler):
    """Warnings of this product as one line each; of others', only what is an error."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.split(".")[0] in ("photoindex", "ram_tagger")
        if ours or record.levelno >= logging.ERROR:
            typer.echo(f"photoindex: {shown(record.getMessage())}", err=True)


def main() -> None:
    """Run the command; an expected error becomes one line on stderr and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot write Chinese is no failure
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, handlers=[_LinesOnStderr()])
    try:
        try:
            sys.exit(app(prog_name="photoindex", standalone_mode=False))
        finally:
            sys.stdout.flush()
    except PhotoindexError as error:
        typer.echo(f"photoindex: {shown(str(error))}", err=True)
        sys.exit(error.exit_code)
    except TyperException as error:
        typer.echo(usage_line(error, "photoindex"), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
