"""`models`: which taggers are on this machine, and getting more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.cli import documents, render
from photoindex.cli.options import AsJson
from photoindex.cli.session import session_of
from photoindex.config import DEFAULT_MODEL
from photoindex.errors import UsageError
from photoindex.terminal.json_output import print_json
from photoindex.terminal.progress import meter
from photoindex.terminal.wording import shown

if TYPE_CHECKING:
    from photoindex.analysis.installed import InstalledModels

commands = typer.Typer(help="List, fetch and import models.", rich_markup_mode=None)


@commands.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List, fetch and import models. Without a command: list."""
    if context.invoked_subcommand is None:
        list_all(context, as_json)
    elif as_json:
        raise UsageError(f"write photoindex models {context.invoked_subcommand} … --json")


@commands.command("list", epilog="Example: photoindex models list --json")
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models that are here and those that can be pulled."""
    session = session_of(context)
    default = session.settings().model or DEFAULT_MODEL
    states = session.installed_models().all()
    if as_json:
        print_json(documents.models(states, default))
    else:
        render.models(states, default)


@commands.command(epilog=f"Example: photoindex models pull {DEFAULT_MODEL}")
def pull(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model that a tagger knows.")],
    as_json: AsJson = False,
) -> None:
    """Download a model, resuming where it was interrupted, and check it."""
    installed = session_of(context).installed_models()
    with meter() as progress:
        folder = installed.pull(name, progress)
    _print_arrived(installed, name, folder, as_json)


@commands.command("import", epilog="Example: photoindex models import ~/Downloads/ram_plus")
def import_files(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="PATH", help="A model folder, or published files.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's name (default: the file's).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a model from files that are here already; the way for machines without a network."""
    installed = session_of(context).installed_models()
    with meter() as progress:
        folder = installed.add(source, name, progress)
    _print_arrived(installed, folder.name, folder, as_json)


def _print_arrived(installed: InstalledModels, name: str, folder: Path, as_json: bool) -> None:
    typer.echo(f"{shown(name)} is in {shown(folder)}", err=True)
    if as_json:
        (state,) = (state for state in installed.all() if state.name == name)
        print_json(documents.model(state))
