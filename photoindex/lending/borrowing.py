"""A search answered by another process, where there is one; else it costs next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoindex.config import Settings
from photoindex.lending.address import connect
from photoindex.search.options import SearchOptions

if TYPE_CHECKING:
    from photoindex.search.results import SearchResult

TO_CONNECT = 0.2  # seconds


def borrowed(settings: Settings, query: str, options: SearchOptions) -> SearchResult | None:
    """What a running watcher finds; None where there is none that answers, for whatever reason.

    Raises PhotoindexError where it says that the search cannot be answered.
    """
    connection = connect(settings.library, TO_CONNECT)
    if connection is None:
        return None
    from photoindex.lending.asking import ask

    with connection:
        return ask(connection, settings, query, options)
