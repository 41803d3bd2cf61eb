"""`search`: finding photos by words, tags, filters and example."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.cli import documents, render
from photoindex.cli.grammar import joined
from photoindex.cli.options import AsJson, Device, Precision
from photoindex.cli.session import session_of
from photoindex.errors import ExitCode, UsageError
from photoindex.search.rank import Rank
from photoindex.terminal.json_output import print_json

if TYPE_CHECKING:
    from photoindex.search.results import SearchResult


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
    text = joined(query or [])
    if not text.strip() and like is None:
        raise UsageError('nothing to search for: write photoindex search "tabby cat on roof"')
    if as_json + (paths or null) + why > 1:
        raise UsageError("--json, --why and paths are different answers: choose one")
    session = session_of(context)
    with session.open_library(model=model, device=device, precision=precision) as library:
        from photoindex.library import SearchOptions

        wanted = SearchOptions(limit, like, rank, min_probability, everything)
        result = library.search(text, wanted)
    if as_json:
        print_json(documents.search(text, like, rank.value, result))
    elif paths or null:
        _print_paths(result, b"\0" if null else b"\n")
    else:
        _print_hits(result, like, why)
    if not result.hits:
        typer.echo(render.nothing(result), err=True)
        raise typer.Exit(ExitCode.NOTHING_FOUND)


def _print_paths(result: SearchResult, end: bytes) -> None:
    """Paths as the file system has them, byte for byte."""
    sys.stdout.flush()
    for hit in result.hits:
        for file in hit.photo.files[:1]:
            sys.stdout.buffer.write(os.fsencode(file) + end)
    sys.stdout.buffer.flush()


def _print_hits(result: SearchResult, like: Path | None, why: bool) -> None:
    typer.echo(render.understood(result, like), err=True)
    if not result.hits:
        return
    if why:
        render.hits_explained(result.hits)
    else:
        render.hits(result.hits)
    if result.found > len(result.hits):
        typer.echo(f"the first {len(result.hits)} of {result.found:,}: -n shows more", err=True)
