"""The one place that talks to SQLite: connections, transactions, and what their errors mean."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from photoindex.catalog.journal import network_file_system
from photoindex.errors import LibraryError

PATIENCE = 60.0
"""Seconds that a write waits for another process's write."""

_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",  # KiB
    "PRAGMA secure_delete = FAST",  # some distributions' default writes freed pages once more
)
_IDLE = 8  # connections kept open for the next transaction
_log = logging.getLogger(__name__)


class Database:
    """One SQLite file, opened so that readers never wait and writers wait their turn.

    before_commit: called in every writing transaction before it is committed.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.path = path
        self.before_commit: Callable[[sqlite3.Connection], None] | None = None
        self._patience = patience
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        with translated(path):
            _create_private(path)
            with self._lent() as connection:
                _choose_journal(connection, path, patience)
            self._device = path.stat().st_dev

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the catalog. Raises LibraryError, also for what is no sense."""
        with translated(self.path), self._lent() as connection, _transaction(connection, "BEGIN"):
            try:
                yield connection
            except (ValueError, IndexError) as error:  # NumPy's, of blobs that are no such arrays
                raise LibraryError(
                    f"{self.path} holds what cannot be right ({error}): run"
                    ' "photoindex doctor --repair"'
                ) from error

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; all of it happens or nothing.

        The lock is taken at once because a reader that turns into a writer is refused by SQLite
        without waiting when somebody else wrote in between. Raises LibraryError where the file is
        not there any more: what is written into it then, nobody finds.
        """
        self._see_that_it_is_there()
        with (
            translated(self.path),
            self._lent() as connection,
            _transaction(connection, "BEGIN IMMEDIATE"),
        ):
            yield connection
            if self.before_commit is not None:
                self.before_commit(connection)

    def connect(self) -> sqlite3.Connection:
        """A connection of one's own, outside any transaction; any thread may use it."""
        connection = sqlite3.connect(
            self.path,
            timeout=self._patience,
            isolation_level=None,  # transactions start where `read` and `write` say
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        parts = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def close(self) -> None:
        """Let go of the file; a transaction that is going on ends first."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _see_that_it_is_there(self) -> None:
        """By its device, not its inode: some file systems give a file now this one, now that."""
        try:
            there = self.path.stat().st_dev == self._device
        except OSError:
            there = False
        if not there:
            raise LibraryError(
                f"{self.path} is not there any more: bring it or its disk back and start again;"
                " what came meanwhile is seen then"
            )

    @contextlib.contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self.connect()
        try:
            yield connection
        finally:
            with self._lock:
                kept = not self._closed and len(self._idle) < _IDLE
                if kept:
                    self._idle.append(connection)
            if not kept:
                connection.close()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # an error; a full disk has rolled back by itself
            connection.execute("ROLLBACK")


def _create_private(path: Path) -> None:
    """Make a missing database file, and its folder, readable by nobody but their owner.

    SQLite gives its journal files the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _choose_journal(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Write-ahead logging where the file system can do it, else a rollback journal."""
    kind = network_file_system(path)
    if kind is None and _set_journal(connection, "wal", patience) == "wal":
        return
    _set_journal(connection, "delete", patience)
    _log.warning(
        "%s is on %s, where SQLite cannot use its write-ahead log: searches wait while photos are"
        " being added. Put the library on a local disk if that disturbs.",
        path,
        f"a network file system ({kind})" if kind else "a file system without shared memory",
    )


def _set_journal(connection: sqlite3.Connection, mode: str, patience: float) -> str:
    """Change the journal mode unless it is so already. Returns the mode there is now.

    SQLite does not wait for other connections here, whatever its timeout, so this does.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            (now,) = connection.execute("PRAGMA journal_mode").fetchone()
            if now != mode:
                (now,) = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
            return str(now)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what sqlite3 and the file system raise into LibraryError."""
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError(f"{path}: {advice(error)}") from error
    except OSError as error:
        raise LibraryError(
            f"{path}: {error.strerror}: make the file and its folder readable and writable"
        ) from error


def advice(error: BaseException | None) -> str:
    """What to tell the user of an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    told = _ADVICE.get(code) or _ADVICE.get(code & 0xFF)
    return told or f"the database refused: {error}"


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that the file itself is damaged, and not what it lies on."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


READ_ONLY = "the library is read-only: make the file and its folder writable"
_FULL = "the disk is full: free some space and try again"
_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process has been writing for too long: wait until it is done,"
    " or stop it, and try again",
    sqlite3.SQLITE_LOCKED: "another process has been writing for too long: wait until it is done,"
    " or stop it, and try again",
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: "no permission: make the file and its folder readable and writable",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: make sure that the file and its folder are"
    " readable and writable",
    sqlite3.SQLITE_CORRUPT: "the database is damaged: restore it from a backup, or move it away"
    " and index again",
    sqlite3.SQLITE_NOTADB: "is no photoindex library, or it is damaged: name another file,"
    " restore it from a backup, or move it away and index again",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # no room for what reading needs beside the database
    sqlite3.SQLITE_IOERR: "the disk reports an error: check it, and restore the library from a"
    " backup if it is damaged",
}
