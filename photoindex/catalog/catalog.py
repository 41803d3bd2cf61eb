"""The catalog: everything the library knows, in one SQLite database. The door to this room."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from photoindex.catalog.analyses import Analyses
from photoindex.catalog.concepts import Concepts
from photoindex.catalog.database import PATIENCE, Database
from photoindex.catalog.files import Files, Folders
from photoindex.catalog.models import Models
from photoindex.catalog.photos import Photos
from photoindex.catalog.records import Status
from photoindex.catalog.tags import Tags


class Catalog:
    """What is known of photos, asked in the domain's words.

    Safe to use from several threads, and from several processes at once: writers wait for each
    other, readers never wait. Every method raises LibraryError where the database cannot serve
    (locked for too long, read-only, damaged, disk full). Iterators hold no transaction open
    between the blocks they read.
    """

    folders: Folders
    files: Files
    photos: Photos
    models: Models
    analyses: Analyses
    concepts: Concepts
    tags: Tags

    @classmethod
    def open(cls, path: Path, patience: float = PATIENCE) -> Catalog:
        """The catalog in a database file, made (for its owner only) or upgraded as needed.

        patience: seconds to wait for another process's write before giving up.
        Raises LibraryError: from a newer version, damaged, no permission.
        """
        raise NotImplementedError

    def close(self) -> None: ...
    def __enter__(self) -> Catalog: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def setting(self, key: str) -> str | None:
        """A value kept with the library, or None."""

    def set_setting(self, key: str, value: str | None) -> None:
        """Keep a value with the library; None forgets it."""

    def status(self) -> Status:
        """Figures about the whole library."""
