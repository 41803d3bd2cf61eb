"""`add-concept` and `concepts`: one's own vocabulary, given by descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photoindex.cli import documents, render
from photoindex.cli.grammar import NumberCommand
from photoindex.cli.options import AsJson, Device, Precision
from photoindex.cli.session import session_of
from photoindex.errors import UsageError
from photoindex.terminal.json_output import print_json
from photoindex.terminal.progress import meter
from photoindex.terminal.tables import print_lines
from photoindex.terminal.wording import shown, words

Name = Annotated[list[str], typer.Argument(metavar="NAME", help="The concept's name.")]

commands = typer.Typer(help="List, show, tune and remove concepts.", rich_markup_mode=None)


def add_concept(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help='JSON, as {"name": ["description", …]}.')],
    device: Device = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Add the concepts of a file to the library.

    Every stored photo is scored for them, new ones will be; no photo is read again. All concepts
    of the file are added, or none.
    """
    with (
        session_of(context).open_library(device=device, precision=precision) as library,
        meter() as progress,
    ):
        records = library.add_concepts(file, progress)
    if as_json:
        print_json(documents.concepts(records))
    else:
        print_lines([render.matched(record) for record in records])


@commands.callback(invoke_without_command=True)
def concepts(context: typer.Context, as_json: AsJson = False) -> None:
    """List, show, tune and remove concepts. Without a command: list."""
    if context.invoked_subcommand is None:
        list_all(context, as_json)
    elif as_json:
        raise UsageError(f"write photoindex concepts {context.invoked_subcommand} … --json")


@commands.command("list", epilog="Example: photoindex concepts list --json")
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List concepts and how many photos show each."""
    with session_of(context).open_library() as library:
        records = library.concepts()
    if as_json:
        print_json(documents.concepts(records))
    elif records:
        render.concepts(records)
    else:
        typer.echo("no concepts yet: photoindex add-concept FILE adds them", err=True)


@commands.command(epilog="Example: photoindex concepts show snow leopard")
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show a concept's descriptions, threshold and matches."""
    with session_of(context).open_library() as library:
        record = library.concept(words(" ".join(name)))
    if as_json:
        print_json(documents.concept(record))
    else:
        render.concept(record)


@commands.command(
    cls=NumberCommand, epilog="Example: photoindex concepts threshold snow leopard 0.65"
)
def threshold(
    context: typer.Context,
    name: Name,
    value: Annotated[float, typer.Argument(metavar="VALUE", help="Between 0 and 1.")],
    as_json: AsJson = False,
) -> None:
    """Change the probability from which a concept is shown, at once."""
    with session_of(context).open_library() as library:
        record = library.set_concept_threshold(words(" ".join(name)), value)
    if as_json:
        print_json(documents.concept(record))
    else:
        print_lines([render.matched(record)])


@commands.command(epilog="Example: photoindex concepts remove snow leopard")
def remove(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Forget a concept and what it said of photos."""
    with session_of(context).open_library() as library:
        record = library.concept(words(" ".join(name)))
        library.remove_concept(record.concept.name)
    typer.echo(f"{shown(record.concept.name)} removed", err=True)
    if as_json:
        print_json(documents.concept(record))
