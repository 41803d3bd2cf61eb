"""`status` and `failures`: how the library is doing."""

from __future__ import annotations

import typer

from photoindex.cli import documents, render
from photoindex.cli.options import AsJson
from photoindex.cli.session import session_of
from photoindex.terminal.json_output import print_json


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show counts, folders, models, sizes."""
    with session_of(context).open_library() as library:
        figures, folders, where = library.status(), library.folders(), library.settings.library
    if as_json:
        print_json(documents.status(figures, folders, where))
    else:
        render.status(figures, folders, where)


def failures(context: typer.Context, as_json: AsJson = False) -> None:
    """List files that could not be read, and why.

    They are tried again when they change.
    """
    with session_of(context).open_library() as library:
        records = library.failures()
    if as_json:
        print_json(documents.failures(records))
    elif records:
        render.failures(records)
    else:
        typer.echo("no failures: every picture could be read", err=True)
