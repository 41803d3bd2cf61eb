"""Every command there is, of which no more is imported than was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from photoindex.cli.grammar import AnywhereGroup, QueryCommand, usage_line
from photoindex.cli.session import Session
from photoindex.cli.warning import warnings_on_stderr
from photoindex.cli.words import command_of
from photoindex.terminal.lines import remark


@dataclass(frozen=True, slots=True)
class _Command:
    """Where a command is found. module: in this room; attribute: a function, or a Typer group."""

    name: str
    module: str
    attribute: str
    example: str
    kind: type[TyperCommand] | None = None


COMMANDS = (
    _Command("watch", "indexing", "watch", "watch ~/Pictures"),
    _Command("index", "indexing", "index", "index ~/Pictures --exclude Screenshots"),
    _Command("forget", "indexing", "forget", "forget ~/Pictures/Scans"),
    _Command("serve", "serving", "serve", "serve --library /volume1/photos/library"),
    _Command(
        "search", "searching", "search", "search tabby cat -tag:dog after:2024-05", QueryCommand
    ),
    _Command("add-concept", "concepts", "add_concept", "add-concept concepts.json"),
    _Command("concepts", "concepts", "commands", "concepts --json"),
    _Command("tags", "tagging", "tags", "tags IMG_0815.jpg"),
    _Command("tag", "tagging", "tag", "tag IMG_0815.jpg IMG_0816.jpg garden"),
    _Command("untag", "tagging", "untag", "untag IMG_0815.jpg cat"),
    _Command("status", "reporting", "status", "status --json"),
    _Command("failures", "reporting", "failures", "failures"),
    _Command("doctor", "doctoring", "doctor", "doctor --quick"),
    _Command("models", "models", "commands", "models"),
    _Command("backup", "exchanging", "backup", "backup /media/usb/photos.backup"),
    _Command("restore", "exchanging", "restore", "restore /media/usb/photos.backup"),
    _Command("export", "exchanging", "export", "export --format xmp ~/Pictures"),
    _Command("import-tags", "exchanging", "import_tags", "import-tags ~/Pictures"),
    _Command("demo", "demo", "demo", "demo --folder photoindex-demo"),
)


def run(args: list[str]) -> int:
    """Run what the command line, whose words are `args`, asks for. Raises PhotoindexError."""
    warnings_on_stderr()
    try:
        app = application(command_of(args))
        return int(app(prog_name="photoindex", standalone_mode=False) or 0)
    except TyperException as error:
        remark(usage_line(error, "photoindex"))
        return int(error.exit_code)


def application(command: str | None = None) -> typer.Typer:
    """The application, with the one command of a name or, if there is none of it, with all."""
    app = typer.Typer(
        cls=AnywhereGroup,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(epilog="--library and --models-folder may also stand behind the command.")(
        photoindex
    )
    for one in [one for one in COMMANDS if one.name == command] or COMMANDS:
        found: Callable[..., Any] | typer.Typer = getattr(
            import_module(f"photoindex.cli.{one.module}"), one.attribute
        )
        example = f"Example: photoindex {one.example}"
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=one.name, epilog=example)
        else:
            app.command(one.name, cls=one.kind, epilog=example)(found)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from photoindex.version import __version__

        typer.echo(f"photoindex {__version__}")
        raise typer.Exit


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
