"""A database that is looked at without writing a byte."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote_from_bytes

from photoindex.catalog.database import READ_ONLY, Database, translated
from photoindex.errors import LibraryError

_LOGS = ("-wal", "-journal")
_PATIENCE = 10.0  # seconds


class ReadOnly(Database):
    """A database that is only read, and has to be there.

    Even a reader of a write-ahead log makes files, unless it is told that nobody writes. That is
    so where there is no log; `has_changed` tells whether somebody began to meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before_commit = None
        self._patience = _PATIENCE
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._at_rest = not any(log.exists() for log in _logs(path))
        self._stamp = _stamp(path)

    def connect(self) -> sqlite3.Connection:
        """A connection that cannot write; references between rows are not enforced."""
        mode = "mode=ro&immutable=1" if self._at_rest else "mode=ro"
        connection = sqlite3.connect(
            f"file:{quote_from_bytes(os.fsencode(self.path))}?{mode}",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return connection

    def has_changed(self) -> bool:
        """Whether what was read may be half of one state and half of another."""
        begun = any(log.exists() for log in _logs(self.path))
        return self._at_rest and (begun or _stamp(self.path) != self._stamp)

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """One consistent view, by a connection of one's own: for temporary tables.

        Raises LibraryError.
        """
        with translated(self.path), closing(self.connect()) as connection:
            connection.execute("BEGIN")
            yield connection


class Unwritable(ReadOnly):
    """A database that this process may only read, as on a disk that is mounted read-only."""

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view. Raises LibraryError where somebody else wrote to it meanwhile."""
        with super().read() as connection:
            yield connection
        if self.has_changed():
            raise LibraryError(f"{self.path}: somebody else has just changed it: try again")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Never: raises LibraryError."""
        raise LibraryError(f"{self.path}: {READ_ONLY}")
        yield


def cannot_be_written(path: Path) -> bool:
    """Whether this process may read a database, but not write into it or its folder."""
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return os.access(path, os.R_OK) and not writable


def _logs(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in _LOGS]


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
