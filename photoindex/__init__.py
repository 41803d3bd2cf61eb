"""A local vector-search photo library.

    from pathlib import Path
    from photoindex import Library

    with Library.open() as library:
        library.index([Path("~/Pictures")])
        for hit in library.search("tabby cat on roof").hits:
            print(hit.score, hit.photo.files[0])

The names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photoindex.config import Settings
    from photoindex.errors import PhotoindexError
    from photoindex.library import Library
    from photoindex.search.options import SearchOptions
    from photoindex.search.results import Hit, SearchResult

_HOMES = {
    "Hit": "photoindex.search.results",
    "Library": "photoindex.library",
    "PhotoindexError": "photoindex.errors",
    "SearchOptions": "photoindex.search.options",
    "SearchResult": "photoindex.search.results",
    "Settings": "photoindex.config",
}

__all__ = ["Hit", "Library", "PhotoindexError", "SearchOptions", "SearchResult", "Settings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module photoindex has no attribute {name}")
    return getattr(import_module(_HOMES[name]), name)
