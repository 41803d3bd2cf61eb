"""`search`: finding photos by words, tags, filters and example."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photoindex.cli.answering import answer
from photoindex.cli.asked import Asked
from photoindex.cli.options import AsJson, Device, Precision
from photoindex.cli.session import session_of
from photoindex.search.options import SearchOptions
from photoindex.search.rank import Rank


def search(
    context: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="Words, and filters: tag:cat -tag:dog after:2024-05 before:2025 in:FOLDER",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Photos at most.")] = 20,
    like: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Find photos that look like this one.")
    ] = None,
    rank: Annotated[Rank, typer.Option(help="What orders photos found by free text.")] = Rank.FUSED,
    min_probability: Annotated[
        float | None, typer.Option(min=0, max=1, help="Replaces thresholds and the query's cut.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what lies below the query's cut.")
    ] = False,
    why: Annotated[bool, typer.Option("--why", help="Say what each hit rests on.")] = False,
    as_json: AsJson = False,
    paths: Annotated[bool, typer.Option("--paths", help="Nothing but paths.")] = False,
    null: Annotated[
        bool, typer.Option("-0", help="Nothing but paths, a NUL after each: for xargs -0.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where the library's model lies now, if it moved."),
    ] = None,
    device: Device = None,
    precision: Precision = None,
) -> None:
    """Find photos by words, tags and filters.

    Words that are tags, English or Chinese, match as tags; other free text is an open-set concept.
    Results end where relevance ends.
    """
    session = session_of(context)
    said = {"model": model, "device": device, "precision": precision}
    asked = Asked(
        tuple(query or ()),
        SearchOptions(limit, like, rank, min_probability, everything),
        why,
        as_json,
        paths,
        null,
        session.library,
        session.models,
        tuple((name, value) for name, value in said.items() if value is not None),
    )
    raise typer.Exit(answer(asked))
