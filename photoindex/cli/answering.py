"""The answer to a search: found by a running watcher or here, and printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.cli.asked import Asked
from photoindex.cli.words import joined
from photoindex.errors import ExitCode, UsageError
from photoindex.terminal.lines import remark

if TYPE_CHECKING:
    from photoindex.search.results import SearchResult


def answer(asked: Asked) -> ExitCode:
    """Search and print what was found. Raises PhotoindexError."""
    query, like = joined(list(asked.words)), asked.options.like
    if not query.strip() and like is None:
        raise UsageError('nothing to search for: write photoindex search "tabby cat on roof"')
    if asked.as_json + (asked.paths or asked.null) + asked.why > 1:
        raise UsageError("--json, --why and paths are different answers: choose one")
    result = _found(asked, query)
    if asked.as_json:
        _print_document(asked, query, result)
    elif asked.paths or asked.null:
        _print_paths(result, b"\0" if asked.null else b"\n")
    else:
        _print_hits(result, like, asked.why)
    if result.hits:
        return ExitCode.DONE
    from photoindex.cli import render

    remark(render.nothing(result))
    return ExitCode.NOTHING_FOUND


def _found(asked: Asked, query: str) -> SearchResult:
    """What a watcher answers, which has everything at hand; else what this process finds."""
    from photoindex.config import Settings

    settings = Settings.load(library=asked.library, models=asked.models, **dict(asked.loading))
    if not asked.loading:
        from photoindex.lending.borrowing import borrowed

        lent = borrowed(settings, query, asked.options)
        if lent is not None:
            return lent
    from photoindex.cli.warning import warnings_on_stderr
    from photoindex.sharing import share_from_the_start

    share_from_the_start(settings.library)
    warnings_on_stderr()
    from photoindex.library import Library

    with Library.open(settings, create=False) as library:
        return library.search(query, asked.options)


def _print_document(asked: Asked, query: str, result: SearchResult) -> None:
    from photoindex.cli import documents
    from photoindex.terminal.json_output import print_json

    options = asked.options
    print_json(documents.search(query, options.like, options.rank.value, result))


def _print_paths(result: SearchResult, end: bytes) -> None:
    """Paths as the file system has them, byte for byte."""
    sys.stdout.flush()
    for hit in result.hits:
        for file in hit.photo.files[:1]:
            sys.stdout.buffer.write(os.fsencode(file) + end)
    sys.stdout.buffer.flush()


def _print_hits(result: SearchResult, like: Path | None, why: bool) -> None:
    from photoindex.cli import render

    remark(render.understood(result, like))
    if not result.hits:
        return
    if why:
        render.hits_explained(result.hits)
    else:
        render.hits(result.hits)
    if result.found > len(result.hits):
        remark(f"the first {len(result.hits)} of {result.found:,}: -n shows more")
