"""Where photos lie: watched folders, and every file ever seen in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from photoindex.catalog.columns import (
    bytes_path,
    columns_stamp,
    now_text,
    path_bytes,
    range_under,
    signed,
    stamp_columns,
    unsigned,
)
from photoindex.catalog.database import Database
from photoindex.catalog.records import (
    FileFailure,
    FileLink,
    FileMove,
    FileRecord,
    FolderRecord,
)
from photoindex.paths import is_below
from photoindex.photo import FileState, FoundFile

_BLOCK = 10_000  # files read in one go while streaming

_FIELDS = "path, size, mtime_ns, inode, device, state, photo_id, failure"
_AT = f"SELECT {_FIELDS} FROM files WHERE path = ?"
_FAILURES = f"SELECT {_FIELDS} FROM files WHERE failure IS NOT NULL ORDER BY path"
_UNDER = "WHERE path >= ? AND path < ? ORDER BY path LIMIT ?"
_NO_SIZE = -1  # that no file has
_PUT = """
    INSERT INTO files (path, photo_id, failure, size, mtime_ns, inode, device, state, deleted_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, 'present', NULL)
    ON CONFLICT (path) DO UPDATE SET
    photo_id = excluded.photo_id, failure = excluded.failure, size = excluded.size,
    mtime_ns = excluded.mtime_ns, inode = excluded.inode, device = excluded.device,
    state = excluded.state, deleted_at = NULL"""
_RESTAMP = """
    UPDATE files SET size = ?, mtime_ns = ?, inode = ?, device = ?, state = 'present',
    deleted_at = NULL WHERE path = ?"""
_HOLDER = "SELECT photo_id, failure FROM files WHERE path = ?"
_DROP = "DELETE FROM files WHERE path = ?"
_DROP_FAILED = "DELETE FROM files WHERE path = ? AND photo_id IS NULL"
_MARK_DELETED = """
    UPDATE files SET state = 'deleted', deleted_at = ? WHERE path = ? AND state <> 'deleted'"""
_MARK_OFFLINE = "UPDATE files SET state = 'offline' WHERE path = ? AND state = 'present'"
_REMEMBER = """
    INSERT INTO folders (path, device, online) VALUES (?, ?, 1)
    ON CONFLICT (path) DO UPDATE SET device = excluded.device, online = 1"""
_FOLDERS = "SELECT path, device, online FROM folders ORDER BY path"
_SET_ONLINE = "UPDATE folders SET online = ? WHERE path = ?"
_SET_STATE = "UPDATE files SET state = ? WHERE path >= ? AND path < ? AND state = ?"
_FORGET = "DELETE FROM folders WHERE path = ?"
_FORGET_FAILED = "DELETE FROM files WHERE path >= ? AND path < ? AND photo_id IS NULL"
_FORGET_FILES = """
    UPDATE files SET state = 'deleted', deleted_at = ?
    WHERE path >= ? AND path < ? AND state <> 'deleted'"""


class Folders:
    """The folders that are watched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, path: Path, device: int | None = None) -> None:
        """Add a watched folder, online, or note the device that it is on now."""
        number = None if device is None else signed(device)
        with self._database.write() as connection:
            connection.execute(_REMEMBER, (path_bytes(path), number))

    def all(self) -> tuple[FolderRecord, ...]:
        """Every watched folder, by path."""
        with self._database.read() as connection:
            return tuple(
                FolderRecord(
                    bytes_path(path), None if device is None else unsigned(device), bool(online)
                )
                for path, device, online in connection.execute(_FOLDERS)
            )

    def set_online(self, path: Path, online: bool) -> int:
        """Mark a folder, and the files in it, as there or not; deleted files stay deleted.

        Returns how many files changed their state.
        """
        before, after = FileState.OFFLINE, FileState.PRESENT
        if not online:
            before, after = after, before
        with self._database.write() as connection:
            connection.execute(_SET_ONLINE, (online, path_bytes(path)))
            changed = connection.execute(_SET_STATE, (after, *range_under(path), before))
            return changed.rowcount

    def forget(self, path: Path) -> int | None:
        """Watch a folder no longer: its files are as good as deleted.

        Those that another watched folder holds as well stay. Returns how many photos' files were
        marked; None if the folder was not known.
        """
        with self._database.write() as connection:
            if not connection.execute(_FORGET, (path_bytes(path),)).rowcount:
                return None
            others = [bytes_path(row[0]) for row in connection.execute(_FOLDERS)]
            if is_below(path, others):
                return 0
            inside = [range_under(other) for other in others if is_below(other, [path])]
            but = " AND (path < ? OR path >= ?)" * len(inside)
            here = (*range_under(path), *(end for pair in inside for end in pair))
            connection.execute(_FORGET_FAILED + but, here)
            return connection.execute(_FORGET_FILES + but, (now_text(), *here)).rowcount


class Files:
    """Every file ever seen, and the photo it holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def under(self, folder: Path) -> Iterator[FileRecord]:
        """Every file known inside a folder, in whatever state, by path."""
        return (_record(row) for row in self._under(folder, _FIELDS))

    def known_under(self, folder: Path) -> Iterator[tuple[bytes, int, int, int, int, str]]:
        """(path, size, mtime_ns, inode, device, state) of every file known inside a folder.

        The quick way of comparing a whole folder: plain tuples, each path the bytes that
        `os.fsencode` gives, in the order of those.
        """
        for path, size, mtime_ns, inode, device, state in self._under(
            folder, "path, size, mtime_ns, inode, device, state"
        ):
            yield path, size, mtime_ns, unsigned(inode), unsigned(device), state

    def at(self, path: Path) -> FileRecord | None:
        """What is known of one path."""
        with self._database.read() as connection:
            row = connection.execute(_AT, (path_bytes(path),)).fetchone()
        return None if row is None else _record(row)

    def link(self, links: Sequence[FileLink]) -> None:
        """Note files that hold known photos, whatever was known of their paths before."""
        with self._database.write() as connection:
            put_files(connection, [(link.file, link.photo_id, None) for link in links])

    def move(self, moves: Sequence[FileMove]) -> None:
        """Files lie elsewhere now and keep their photo; a chain or a swap of names is fine.

        Whatever was known of a target path is replaced. An unknown old path is passed over.
        """
        with self._database.write() as connection:
            known: list[tuple[FoundFile, int | None, str | None]] = []
            for move in moves:
                row = connection.execute(_HOLDER, (path_bytes(move.old),)).fetchone()
                if row is not None:
                    known.append((move.file, *row))
            connection.executemany(_DROP, [(path_bytes(move.old),) for move in moves])
            put_files(connection, known)

    def mark_deleted(self, paths: Sequence[Path]) -> None:
        """Files are gone. Their photos are kept until they are purged; failures are forgotten."""
        if not paths:
            return
        gone, now = [path_bytes(path) for path in paths], now_text()
        with self._database.write() as connection:
            connection.executemany(_DROP_FAILED, [(path,) for path in gone])
            connection.executemany(_MARK_DELETED, [(now, path) for path in gone])

    def mark_offline(self, paths: Sequence[Path]) -> None:
        """Files are out of reach with the disk that they lie on."""
        if not paths:
            return
        with self._database.write() as connection:
            connection.executemany(_MARK_OFFLINE, [(path_bytes(path),) for path in paths])

    def fail(self, failures: Sequence[FileFailure]) -> None:
        """Note files that cannot be read, and why; a photo they held before is theirs no more.

        Where what keeps a file from being read may pass, it stays with its photo, or is noted so
        that every look finds it changed.
        """
        with self._database.write() as connection:
            for failure in failures:
                file, kept = failure.file, None
                if failure.passing:
                    kept = connection.execute(_HOLDER, (path_bytes(file.path),)).fetchone()
                    file = FoundFile(file.path, replace(file.stamp, size=_NO_SIZE))
                if kept is None or kept[0] is None:
                    put_files(connection, [(file, None, failure.reason)])

    def restamp(self, files: Sequence[FoundFile]) -> None:
        """Files are there with the content already known: touched, come back, or restored."""
        if not files:
            return
        with self._database.write() as connection:
            connection.executemany(
                _RESTAMP, [(*stamp_columns(file.stamp), path_bytes(file.path)) for file in files]
            )

    def failures(self) -> tuple[FileRecord, ...]:
        """The files that could not be read, by path."""
        with self._database.read() as connection:
            return tuple(_record(row) for row in connection.execute(_FAILURES))

    def _under(self, folder: Path, fields: str) -> Iterator[tuple[Any, ...]]:
        """Rows of files inside a folder, the path first; a transaction for each block."""
        first, end = range_under(folder)
        query = f"SELECT {fields} FROM files {_UNDER}"
        while True:
            with self._database.read() as connection:
                block = connection.execute(query, (first, end, _BLOCK)).fetchall()
            yield from block
            if len(block) < _BLOCK:
                return
            first = block[-1][0] + b"\0"  # the next key there can be


def put_files(
    connection: sqlite3.Connection, files: Sequence[tuple[FoundFile, int | None, str | None]]
) -> None:
    """Write (file, photo id, failure) rows over whatever was known of the paths."""
    connection.executemany(
        _PUT,
        [
            (path_bytes(file.path), photo_id, failure, *stamp_columns(file.stamp))
            for file, photo_id, failure in files
        ],
    )


def _record(row: tuple[Any, ...]) -> FileRecord:
    path, size, mtime_ns, inode, device, state, photo_id, failure = row
    stamp = columns_stamp(size, mtime_ns, inode, device)
    return FileRecord(bytes_path(path), stamp, FileState(state), photo_id, failure)
