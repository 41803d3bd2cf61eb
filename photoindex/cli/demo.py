"""`demo`: the main job on bundled pictures, from an empty folder to answers."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.cli import render
from photoindex.cli.outcome import summary
from photoindex.cli.session import session_of
from photoindex.demo.tour import COMBINED, MODEL, SEARCHES, SHOWN, TAGGED, Tour, lay_out
from photoindex.terminal.progress import Meter, meter
from photoindex.terminal.tables import print_lines
from photoindex.terminal.wording import shown

if TYPE_CHECKING:
    from photoindex.library import Library


def demo(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put it (default: the user's data folder)."),
    ] = None,
) -> None:
    """Show it all on bundled pictures.

    Indexes them with the bundled model, prints tags, searches, and adds concepts. Needs no
    network. The pictures are drawn scenes, which is all that the bundled model knows.
    """
    from photoindex.config import Settings, data_folder
    from photoindex.library import Library

    tour = lay_out(folder or data_folder() / "demo")
    models = session_of(context).models
    settings = Settings.load(library=tour.library, models=models, model=MODEL)
    with Library.open(settings) as library, meter() as progress:
        _index(library, tour, progress)
        _tags(library, tour)
        _searches(library, tour)
        _concepts(library, tour, progress)
        _two_things(library, tour)
    _how_to_go_on(tour)


def _index(library: Library, tour: Tour, progress: Meter) -> None:
    _title(f"Index {shown(tour.pictures)} with the bundled model {MODEL}")
    tally = library.index([tour.pictures], progress)
    progress.clear()
    print_lines([summary(tally)])


def _tags(library: Library, tour: Tour) -> None:
    _title("Tags, in English and Chinese")
    for name in TAGGED:
        print_lines([name])
        render.photo_tags(library.tags_of(tour.pictures / name), indent="  ")


def _searches(library: Library, tour: Tour) -> None:
    for query in SEARCHES:
        _title(f"photoindex search {shlex.quote(query)}")
        _search(library, query, tour)


def _concepts(library: Library, tour: Tour, progress: Meter) -> None:
    _title(f"photoindex add-concept {shlex.quote(shown(tour.concepts))}")
    records = library.add_concepts(tour.concepts, progress)
    progress.clear()
    print_lines([render.matched(record) for record in records])
    for record in records[:1]:
        query = f'tag:"{record.concept.name}"'
        _title(f"photoindex search {shlex.quote(query)}")
        _search(library, query, tour)


def _two_things(library: Library, tour: Tour) -> None:
    _title(f"photoindex search {shlex.quote(COMBINED)}")
    _search(library, COMBINED, tour)


def _search(library: Library, query: str, tour: Tour) -> None:
    from photoindex.search.options import SearchOptions

    result = library.search(query, SearchOptions(limit=SHOWN))
    print_lines([render.understood(result)])
    if result.hits:
        render.hits(result.hits, below=tour.pictures)
    else:
        print_lines([render.nothing(result)])


def _how_to_go_on(tour: Tour) -> None:
    _title("Go on by hand")
    program = "photoindex" if shutil.which("photoindex") else shlex.quote(shown(sys.argv[0]))
    command = f"{program} --library {shlex.quote(shown(tour.library))}"
    print_lines(
        [
            f"The library lies in {shown(tour.library)}, the pictures in {shown(tour.pictures)}.",
            *_examples(command, tour),
            f"Photographs need the RAM++ model: {program} watch ~/Pictures fetches it.",
        ]
    )


def _examples(command: str, tour: Tour) -> Sequence[str]:
    photo = shlex.quote(shown(tour.pictures / TAGGED[0]))
    return [
        f'  {command} search "a horse near a castle" --why',
        f"  {command} search animal -tag:cat after:2024",
        f"  {command} tag {photo} favourite",
        f"  {command} concepts",
        f"  {command} concepts threshold umbrella 0.95",
        f"  {command} status",
    ]


def _title(text: str) -> None:
    print_lines(["", f"== {text}"])
