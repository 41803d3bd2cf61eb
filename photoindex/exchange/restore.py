"""Putting a backup in a library's place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoindex.aside import sync
from photoindex.catalog.catalog import Catalog
from photoindex.errors import LibraryError, UsageError
from photoindex.exchange.backup import (
    BackupNote,
    check_integrity,
    connected,
    read_note,
    to_one_file,
    unpack,
)
from photoindex.exchange.writing import PRIVATE, file_errors
from photoindex.locks import hold
from photoindex.tagger import Progress, no_progress

_BESIDE = ("-wal", "-shm", "-journal")
_ROOM = ".restoring-"


def restore(
    file: Path,
    catalog: Path,
    watch_lock: Path,
    force: bool = False,
    progress: Progress = no_progress,
) -> BackupNote:
    """Make the library what it was when a backup was made; an older one is upgraded.

    catalog, watch_lock: the library's files. The backup is unpacked beside the library, checked
    wholly and upgraded there; only then does it take the library's place, in one step. The old
    library is kept aside until then.

    force: replace a library that is there. Raises UsageError where there is one and no force;
    LibraryError where the backup is none, damaged or from a newer version, or the library is in
    use; the library is then as it was.
    """
    note = read_note(file)
    if catalog.exists() and not force:
        raise UsageError(
            f"there is a library in {catalog.parent} already: name another with --library, or "
            "replace it with --force"
        )
    with file_errors(catalog.parent):
        catalog.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(catalog.parent).free < note.bytes:
            raise LibraryError(f"no room in {catalog.parent} for {file}: free some space")
    with hold(watch_lock), file_errors(catalog.parent), _room_beside(catalog) as room:
        fresh = room / catalog.name
        fresh.touch(mode=PRIVATE)
        unpack(file, note, fresh, progress)
        _check(file, fresh, progress)
        if catalog.exists():
            _close_down(catalog)
        _swap(catalog, fresh, room)
    return note


def _check(file: Path, fresh: Path, progress: Progress) -> None:
    """Look at every page, then open it as a library, which upgrades it and refuses a newer one."""
    try:
        check_integrity(fresh, progress)
        progress("upgrading the library", 0, None)
        Catalog.open(fresh).close()
        to_one_file(fresh)
        sync(fresh)
    except (LibraryError, sqlite3.Error) as error:
        what = str(error).replace(str(fresh), str(file))
        raise LibraryError(what if str(file) in what else f"{file}: {what}") from error


def _close_down(catalog: Path) -> None:
    """See that no process has the old library open, and that its log is in its database.

    A process that went on with a file which is the library's no more would lose what it writes.
    A damaged library has nothing more to lose.
    """
    try:
        to_one_file(catalog)
        with connected(catalog) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LibraryError(
                f"another process has the library in {catalog.parent} open: stop it first"
            ) from error


def _swap(catalog: Path, fresh: Path, room: Path) -> None:
    """The fresh library in the old one's place, which is put back where that fails.

    The old database gets a second name, so that at every moment one of the two has the library's.
    """
    old = room / f"old-{catalog.name}"
    _put_logs_aside(catalog, room)
    if catalog.exists():
        try:
            os.link(catalog, old)
        except OSError:  # a file system without second names
            catalog.replace(old)
    try:
        fresh.replace(catalog)
    except OSError:
        if old.exists() and not catalog.exists():
            old.replace(catalog)
        raise
    sync(catalog.parent)


def _put_logs_aside(catalog: Path, room: Path) -> None:
    """What a damaged library left behind; it would be taken for the fresh one's."""
    for log in (catalog.with_name(catalog.name + end) for end in _BESIDE):
        if log.exists():
            log.replace(room / f"old-{log.name}")


@contextmanager
def _room_beside(catalog: Path) -> Iterator[Path]:
    """A folder on the library's own disk, gone at the end, with those of restorings that died."""
    if catalog.exists():
        for left in catalog.parent.glob(f"{_ROOM}*"):
            shutil.rmtree(left)
    room = Path(tempfile.mkdtemp(prefix=_ROOM, dir=catalog.parent))
    try:
        yield room
    finally:
        shutil.rmtree(room)
