"""A backup: the whole catalog in one file, consistent while others write.

The file is an SQLite database, copied by SQLite's online backup, with a seal behind its last page:
a line of JSON that says what it is, and a checksum of everything before. SQLite ignores what lies
behind the last page, so any SQLite tool opens a backup as it is.

In it is all that cannot be made again: photos, files, tags, concepts, embeddings, image tokens.
Not in it: the vector index, which is made again from the embeddings, and the models.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from photoindex.catalog.catalog import Catalog
from photoindex.errors import LibraryError, UsageError
from photoindex.exchange.writing import check_target, file_errors, written_aside
from photoindex.tagger import Progress, no_progress
from photoindex.version import __version__

FORMAT = 1
_MAGIC = b"\nphotoindex backup "
_SEAL_SIZE = 4096  # bytes at most
_PAGES = 1024  # copied between two reports
_CHUNK = 1 << 20
_COPYING = "copying the library"
_CHECKING = "checking the backup"


@dataclass(frozen=True, slots=True)
class BackupNote:
    """What a backup says of itself.

    model, model_id: the model that new photos need after it is restored, None in a library that
    never had one; bytes: size of the database.
    """

    made_at: datetime
    version: str  # of photoindex
    photos: int
    model: str | None
    model_id: str | None
    bytes: int


def backup(
    catalog: Catalog, file: Path, force: bool = False, progress: Progress = no_progress
) -> BackupNote:
    """Write a backup that holds the library as it was at one moment.

    force: replace a file that is there. Raises UsageError, LibraryError; the file is then as it
    was before.
    """
    check_target(file, force)
    library = catalog.path.parent.resolve()
    if file.resolve().parent == library and file.name.startswith(catalog.path.name):
        raise UsageError(f"{file} belongs to the library itself: name another file")
    if shutil.disk_usage(file.parent).free < catalog.path.stat().st_size:
        raise LibraryError(f"no room in {file.parent}: free some space, or name another folder")
    with file_errors(file), sqlite_errors(file), written_aside(file) as aside:
        _copy(catalog.path, aside, progress)
        check_integrity(aside, progress)
        note = _describe(aside)
        to_one_file(aside)
        return _seal(aside, note, progress)


def read_note(file: Path) -> BackupNote:
    """What a backup says of itself. Raises LibraryError where it is none, or was cut short."""
    try:
        size = file.stat().st_size
        with file.open("rb") as source:
            source.seek(max(0, size - _SEAL_SIZE))
            _, mark, seal = source.read(_SEAL_SIZE).rpartition(_MAGIC)
    except OSError as error:
        raise LibraryError(f"{file} cannot be read: {error.strerror}") from error
    try:
        if not mark:
            raise ValueError
        fields = json.loads(seal.split(b"\n")[0])
        format = int(fields["format"])
        if format > FORMAT:
            raise LibraryError(
                f"{file} was made by a newer version of photoindex ({fields['version']}): "
                "upgrade photoindex to restore it"
            )
        return BackupNote(
            datetime.fromisoformat(fields["made_at"]),
            str(fields["version"]),
            int(fields["photos"]),
            fields["model"],
            fields["model_id"],
            int(fields["bytes"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryError(
            f'{file} is no backup that "photoindex backup" made, or it was cut short: name another'
        ) from error


def unpack(file: Path, note: BackupNote, target: Path, progress: Progress = no_progress) -> None:
    """Write a backup's database into a file, read and compared to its checksum to the last byte.

    Raises LibraryError where it does not match.
    """
    seen = hashlib.blake2b(digest_size=32)
    done = 0
    with file.open("rb") as source, target.open("wb") as copy:
        while done < note.bytes and (chunk := source.read(min(_CHUNK, note.bytes - done))):
            seen.update(chunk)
            copy.write(chunk)
            done += len(chunk)
            progress(_CHECKING, done, note.bytes)
        seal, _, checksum = source.read(_SEAL_SIZE).rstrip(b"\n").rpartition(b"\n")
    seen.update(seal + b"\n")
    if seen.hexdigest().encode() != checksum:
        raise LibraryError(f"{file} is damaged: its checksum does not match; use another backup")


def check_integrity(database: Path, progress: Progress = no_progress) -> None:
    """Let SQLite look at every page and every reference. Raises LibraryError."""
    progress("checking every page", 0, None)
    with connected(database) as connection:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok" or broken:
        what = found if found != "ok" else f"a row of {broken[0]} points to a missing one"
        raise LibraryError(f"the database is damaged ({what}): use an earlier backup")


def to_one_file(database: Path) -> None:
    """Bring everything into the database file, with no log beside it.

    Raises sqlite3.OperationalError while any other process has it open.
    """
    with connected(database) as connection:
        connection.execute("PRAGMA journal_mode = delete").fetchone()


@contextmanager
def connected(database: Path, patience: float = 5.0) -> Iterator[sqlite3.Connection]:
    """A connection of one's own, where transactions begin only when asked to."""
    with contextlib.closing(
        sqlite3.connect(database, timeout=patience, isolation_level=None)
    ) as connection:
        yield connection


@contextmanager
def sqlite_errors(file: Path) -> Iterator[None]:
    """Turn what SQLite says into LibraryError."""
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError(f"{file}: {error}: see to that and try again") from error


def _copy(database: Path, aside: Path, progress: Progress) -> None:
    with connected(database) as source, connected(aside) as target:
        (page_size,) = source.execute("PRAGMA page_size").fetchone()
        (journal,) = source.execute("PRAGMA journal_mode").fetchone()
        if journal == "wal":
            # One view for the whole copy: without it SQLite starts again whenever another process
            # has written. Nobody waits for a reader of a write-ahead log; with a rollback journal
            # writers would.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()

        def report(status: int, remaining: int, total: int) -> None:
            progress(_COPYING, (total - remaining) * page_size, total * page_size)

        source.backup(target, pages=_PAGES, progress=report, sleep=0.05)


def _describe(aside: Path) -> BackupNote:
    with Catalog.open(aside) as catalog:
        photos, active = catalog.status().photos, catalog.models.active()
    return BackupNote(
        datetime.now(UTC).replace(microsecond=0),
        __version__,
        photos,
        active.name if active else None,
        active.model_id if active else None,
        0,
    )


def _seal(aside: Path, note: BackupNote, progress: Progress) -> BackupNote:
    size = aside.stat().st_size
    seen = hashlib.blake2b(digest_size=32)
    with aside.open("r+b") as file:
        _hash(file, seen, size, progress)
        fields = {
            "format": FORMAT,
            "version": note.version,
            "made_at": note.made_at.isoformat(),
            "photos": note.photos,
            "model": note.model,
            "model_id": note.model_id,
            "bytes": size,
        }
        seal = _MAGIC + json.dumps(fields).encode() + b"\n"
        seen.update(seal)
        file.seek(size)
        file.write(seal + seen.hexdigest().encode() + b"\n")
    return replace(note, bytes=size)


def _hash(file: BinaryIO, seen: hashlib.blake2b, size: int, progress: Progress) -> None:
    done = 0
    while chunk := file.read(_CHUNK):
        seen.update(chunk)
        done += len(chunk)
        progress(_CHECKING, done, size)
