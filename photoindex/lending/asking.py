"""A search put to the process that has everything at hand."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.config import Settings
from photoindex.errors import PhotoindexError
from photoindex.lending.reading import Lines
from photoindex.lending.requests import (
    LONGEST_REQUEST,
    MOST_HITS,
    Malformed,
    Wanted,
    greeting,
    request,
)
from photoindex.search.options import SearchOptions
from photoindex.search.query import with_absolute_folders

if TYPE_CHECKING:
    from photoindex.search.results import SearchResult

TO_BE_GREETED, TO_BE_ANSWERED = 0.5, 120.0  # seconds
_LONGEST_GREETING, _LONGEST_ANSWER = 1024, 64 * 1024 * 1024  # bytes


def ask(
    connection: socket.socket, settings: Settings, query: str, options: SearchOptions
) -> SearchResult | None:
    """What the other side finds; None where it does not answer as it should, or will not.

    Raises PhotoindexError where it says that nobody can answer.
    """
    try:
        message = _message(settings, query, options)
        answer = None if message is None else _answer(connection, message)
    except (OSError, Malformed):
        return None
    if isinstance(answer, PhotoindexError):
        raise answer
    return answer


def _message(settings: Settings, query: str, options: SearchOptions) -> bytes | None:
    """The request, which means the same in another working directory; None where none would.

    Raises OSError for an example that only this process can open.
    """
    everywhere = with_absolute_folders(query)
    if everywhere is None or options.limit > MOST_HITS:
        return None
    if options.like is not None:
        options = replace(options, like=Path(os.path.abspath(options.like)))
    message = request(Wanted.of(settings, everywhere, options))
    return message if len(message) <= LONGEST_REQUEST else None


def _answer(connection: socket.socket, message: bytes) -> SearchResult | PhotoindexError | None:
    """Raises OSError where no answer comes, Malformed where it is none."""
    connection.sendall(message + b"\n")
    from photoindex.lending.answers import parse_answer  # while the other side is at work

    lines = Lines(connection)
    if lines.next(_LONGEST_GREETING, TO_BE_GREETED) != greeting():
        return None
    return parse_answer(lines.next(_LONGEST_ANSWER, TO_BE_ANSWERED))
