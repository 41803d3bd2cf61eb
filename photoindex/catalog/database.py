"""The one place that talks to SQLite: connections, transactions, and what their errors mean."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from photoindex.catalog.journal import network_file_system
from photoindex.errors import LibraryError

PATIENCE = 60.0
"""Seconds that a write waits for another process's write."""

_WRITES = {"photoindex_writes": True}
_log = logging.getLogger(__name__)


class Database:
    """One SQLite file, opened so that readers never wait and writers wait their turn."""

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.path = path
        with translated(path):
            _create_private(path)
            self.engine = _engine(path, patience)
            with self.engine.connect() as connection:
                _choose_journal(connection, path, patience)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the catalog."""
        with translated(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; all of it happens or nothing.

        The lock is taken at once because a reader that turns into a writer is refused by SQLite
        without waiting when somebody else wrote in between.
        """
        with translated(self.path), self.engine.connect() as connection:
            writer = connection.execution_options(**_WRITES)
            with writer.begin():
                yield writer

    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        parts = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def close(self) -> None:
        self.engine.dispose()


def _create_private(path: Path) -> None:
    """Make a missing database file, and its folder, readable by nobody but their owner.

    SQLite gives its journal files the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _engine(path: Path, patience: float) -> Engine:
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: sqlite3.connect(path, timeout=patience, check_same_thread=False),
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=-1,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # begin() below decides how transactions start
        for pragma in ("foreign_keys = ON", "synchronous = NORMAL", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("photoindex_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _choose_journal(connection: Connection, path: Path, patience: float) -> None:
    """Write-ahead logging where the file system can do it, else a rollback journal."""
    driver = connection.connection.driver_connection
    assert driver is not None
    kind = network_file_system(path)
    if kind is None and _set_journal(driver, "wal", patience) == "wal":
        return
    _set_journal(driver, "delete", patience)
    _log.warning(
        "%s is on %s, where SQLite cannot use its write-ahead log: searches wait while photos are"
        " being added. Put the library on a local disk if that disturbs.",
        path,
        f"a network file system ({kind})" if kind else "a file system without shared memory",
    )


def _set_journal(driver: Any, mode: str, patience: float) -> str:
    """Change the journal mode unless it is so already. Returns the mode there is now.

    SQLite does not wait for other connections here, whatever its timeout, so this does.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            (now,) = driver.execute("PRAGMA journal_mode").fetchone()
            if now != mode:
                (now,) = driver.execute(f"PRAGMA journal_mode = {mode}").fetchone()
            return str(now)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLAlchemy, sqlite3 and the file system raise into LibraryError."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise LibraryError(f"{path}: {_advice(cause)}") from error
    except OSError as error:
        raise LibraryError(
            f"{path}: {error.strerror}: make the file and its folder readable and writable"
        ) from error


def _advice(error: BaseException | None) -> str:
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _ADVICE.get(primary, f"the database refused: {error}")


_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process has been writing for too long: wait until it is done,"
    " or stop it, and try again",
    sqlite3.SQLITE_LOCKED: "another process has been writing for too long: wait until it is done,"
    " or stop it, and try again",
    sqlite3.SQLITE_READONLY: "the library is read-only: make the file and its folder writable",
    sqlite3.SQLITE_PERM: "no permission: make the file and its folder readable and writable",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: make sure that the file and its folder are"
    " readable and writable",
    sqlite3.SQLITE_CORRUPT: "the database is damaged: restore it from a backup, or move it away"
    " and index again",
    sqlite3.SQLITE_NOTADB: "is no photoindex library, or it is damaged: name another file,"
    " restore it from a backup, or move it away and index again",
    sqlite3.SQLITE_FULL: "the disk is full: free some space and try again",
    sqlite3.SQLITE_IOERR: "the disk reports an error: check it, and restore the library from a"
    " backup if it is damaged",
}
