"""`index` and `watch`: keeping the library true to folders."""

from __future__ import annotations

from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.cli import documents
from photoindex.cli.options import AsJson, AsJsonLines, Device, Exclude, Model, Precision
from photoindex.cli.outcome import summary
from photoindex.cli.session import session_of
from photoindex.paths import absolute
from photoindex.terminal.json_output import print_json, print_json_line
from photoindex.terminal.progress import Meter, meter
from photoindex.terminal.signals import Stop, stop_on_signals
from photoindex.terminal.wording import count, shown

if TYPE_CHECKING:
    from photoindex.library import Library

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DIR", help="Folders of photos, with all below them."),
]


def index(
    context: typer.Context,
    folders: Folders = None,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
    exclude: Exclude = None,
    as_json: AsJson = False,
) -> None:
    """Catch up with folders and exit.

    Finds new, changed, moved and deleted photos. Without DIR: in the folders of last time.
    """
    options = {"model": model, "device": device, "precision": precision, "exclude": exclude or None}
    with session_of(context).open_library(create=True, **options) as library, meter() as progress:
        roots = library.resolve_folders(folders or [])
        library.ensure_model(progress)
        with stop_on_signals() as stop:
            tally = library.index(roots, progress, stop.event)
        progress.clear()
        interrupted = "" if stop.number is None else "interrupted: "
        typer.echo(f"{interrupted}{summary(tally)}", err=True)
    if as_json:
        print_json(documents.tally(tally))
    raise typer.Exit(stop.exit_code)


def watch(
    context: typer.Context,
    folders: Folders = None,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
    polling: Annotated[
        bool, typer.Option("--polling", help="Look again and again: for network shares.")
    ] = False,
    exclude: Exclude = None,
    settle: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a file must not change before it is read."),
    ] = None,
    as_json: AsJsonLines = False,
) -> None:
    """Catch up with folders and follow them until Ctrl-C.

    The first time, this fetches the model. SIGINT and SIGTERM end it after the batch in hand.
    """
    options = {
        "model": model,
        "device": device,
        "precision": precision,
        "polling": polling or None,
        "exclude": exclude or None,
        "settle": settle,
    }
    with session_of(context).open_library(create=True, **options) as library, meter() as progress:
        roots = library.resolve_folders(folders or [])
        library.ensure_model(progress)
        with stop_on_signals() as stop:
            _follow(library, roots, progress, stop, as_json)


def forget(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that was watched.")],
    as_json: AsJson = False,
) -> None:
    """Stop watching a folder and take its photos out of results.

    Its files stay where they are. What is known of the photos is kept for 30 days, and for good
    where you tagged them: until then, watch FOLDER again and they are back.
    """
    with session_of(context).open_library() as library:
        files = library.forget(folder)
    typer.echo(f"forgot {shown(absolute(folder))} with {count(files, 'file')}", err=True)
    if as_json:
        print_json(documents.forgotten(absolute(folder), files))


def _follow(
    library: Library, folders: list[Path], progress: Meter, stop: Stop, as_json: bool
) -> None:
    """Say when the library is caught up with its folders, then what each change led to."""
    caught_up = False
    for tally in library.watch(folders, stop.event, progress):
        progress.clear()
        now, first = datetime.now().astimezone(), not caught_up
        if as_json and (first or any(astuple(tally))):
            print_json_line(documents.change(tally, now))
        if first and not stop.event.is_set():
            caught_up = True
            where = shown(folders[0]) if len(folders) == 1 else count(len(folders), "folder")
            typer.echo(f"caught up: {summary(tally)}; watching {where}, Ctrl-C ends", err=True)
        elif any(astuple(tally)):
            typer.echo(f"{now:%Y-%m-%d %H:%M:%S}  {summary(tally)}", err=True)
    progress.clear()
    typer.echo("stopped", err=True)
