"""Where photos lie: watched folders, and every file ever seen in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from photoindex.catalog.columns import range_under
from photoindex.catalog.database import Database
from photoindex.catalog.records import (
    FileFailure,
    FileLink,
    FileMove,
    FileRecord,
    FolderRecord,
)
from photoindex.catalog.schema import File, Folder
from photoindex.paths import is_below
from photoindex.photo import FileStamp, FileState, FoundFile

_BLOCK = 2000  # files read in one go while streaming

_FIELDS = (
    File.path,
    File.size,
    File.mtime_ns,
    File.inode,
    File.device,
    File.state,
    File.photo_id,
    File.failure,
)


class Folders:
    """The folders that are watched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, path: Path, device: int | None = None) -> None:
        """Add a watched folder, online, or note the device that it is on now."""
        values = {"device": device, "online": True}
        with self._database.write() as connection:
            connection.execute(
                insert(Folder)
                .values(path=path, **values)
                .on_conflict_do_update(index_elements=["path"], set_=values)
            )

    def all(self) -> tuple[FolderRecord, ...]:
        """Every watched folder, by path."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(Folder.path, Folder.device, Folder.online).order_by(Folder.path)
            ).all()
        return tuple(FolderRecord(*row) for row in rows)

    def set_online(self, path: Path, online: bool) -> int:
        """Mark a folder, and the files in it, as there or not; deleted files stay deleted.

        Returns how many files changed their state.
        """
        before, after = FileState.OFFLINE, FileState.PRESENT
        if not online:
            before, after = after, before
        first, end = range_under(path)
        with self._database.write() as connection:
            connection.execute(update(Folder).where(Folder.path == path).values(online=online))
            return connection.execute(
                update(File)
                .where(File.path >= first, File.path < end, File.state == before)
                .values(state=after)
            ).rowcount

    def forget(self, path: Path) -> int | None:
        """Watch a folder no longer: its files are as good as deleted.

        Those that another watched folder holds as well stay. Returns how many photos' files were
        marked; None if the folder was not known.
        """
        first, end = range_under(path)
        with self._database.write() as connection:
            if not connection.execute(delete(Folder).where(Folder.path == path)).rowcount:
                return None
            others = list(connection.execute(select(Folder.path)).scalars())
            if is_below(path, others):
                return 0
            inside = [range_under(other) for other in others if is_below(other, [path])]
            here = (
                File.path >= first,
                File.path < end,
                *(or_(File.path < low, File.path >= high) for low, high in inside),
            )
            connection.execute(delete(File).where(*here, File.photo_id.is_(None)))
            return connection.execute(
                update(File)
                .where(*here, File.state != FileState.DELETED)
                .values(state=FileState.DELETED, deleted_at=datetime.now(UTC))
            ).rowcount


class Files:
    """Every file ever seen, and the photo it holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def under(self, folder: Path) -> Iterator[FileRecord]:
        """Every file known inside a folder, in whatever state, by path."""
        first, end = range_under(folder)
        query = select(*_FIELDS).where(File.path < end).order_by(File.path).limit(_BLOCK)
        step = query.where(File.path >= first)
        while True:
            with self._database.read() as connection:
                block = [_record(row) for row in connection.execute(step)]
            yield from block
            if len(block) < _BLOCK:
                return
            step = query.where(File.path > block[-1].path)

    def at(self, path: Path) -> FileRecord | None:
        """What is known of one path."""
        with self._database.read() as connection:
            row = connection.execute(select(*_FIELDS).where(File.path == path)).first()
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
            known = _photos_of(connection, [move.old for move in moves])
            if not known:
                return
            connection.execute(
                delete(File).where(File.path == bindparam("old")), [{"old": old} for old in known]
            )
            put_files(
                connection,
                [(move.file, *known[move.old]) for move in moves if move.old in known],
            )

    def mark_deleted(self, paths: Sequence[Path]) -> None:
        """Files are gone. Their photos are kept until they are purged; failures are forgotten."""
        if not paths:
            return
        gone = [{"gone": path} for path in paths]
        here = File.path == bindparam("gone")
        with self._database.write() as connection:
            connection.execute(delete(File).where(here, File.photo_id.is_(None)), gone)
            connection.execute(
                update(File)
                .where(here, File.state != FileState.DELETED)
                .values(state=FileState.DELETED, deleted_at=datetime.now(UTC)),
                gone,
            )

    def mark_offline(self, paths: Sequence[Path]) -> None:
        """Files are out of reach with the disk that they lie on."""
        if not paths:
            return
        with self._database.write() as connection:
            connection.execute(
                update(File)
                .where(File.path == bindparam("away"), File.state == FileState.PRESENT)
                .values(state=FileState.OFFLINE),
                [{"away": path} for path in paths],
            )

    def fail(self, failures: Sequence[FileFailure]) -> None:
        """Note files that cannot be read, and why; a photo they held before is theirs no more."""
        with self._database.write() as connection:
            put_files(connection, [(failure.file, None, failure.reason) for failure in failures])

    def restamp(self, files: Sequence[FoundFile]) -> None:
        """Files are there with the content already known: touched, come back, or restored."""
        if not files:
            return
        with self._database.write() as connection:
            connection.execute(
                update(File).where(File.path == bindparam("there")),
                [{"there": file.path, **_present(file.stamp)} for file in files],
            )

    def failures(self) -> tuple[FileRecord, ...]:
        """The files that could not be read, by path."""
        query = select(*_FIELDS).where(File.failure.is_not(None)).order_by(File.path)
        with self._database.read() as connection:
            return tuple(_record(row) for row in connection.execute(query))


def put_files(
    connection: Connection, files: Sequence[tuple[FoundFile, int | None, str | None]]
) -> None:
    """Write (file, photo id, failure) rows over whatever was known of the paths."""
    if not files:
        return
    statement = insert(File)
    replaced = ("photo_id", "failure", *_present(files[0][0].stamp))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["path"], set_={name: statement.excluded[name] for name in replaced}
        ),
        [
            {
                "path": file.path,
                "photo_id": photo_id,
                "failure": failure,
                **_present(file.stamp),
            }
            for file, photo_id, failure in files
        ],
    )


def _present(stamp: FileStamp) -> dict[str, Any]:
    """The columns of a file that is there."""
    return {
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "inode": stamp.inode,
        "device": stamp.device,
        "state": FileState.PRESENT,
        "deleted_at": None,
    }


def _photos_of(
    connection: Connection, paths: Sequence[Path]
) -> dict[Path, tuple[int | None, str | None]]:
    """Path → (photo id, failure) of the known ones among `paths`."""
    known: dict[Path, tuple[int | None, str | None]] = {}
    for start in range(0, len(paths), _BLOCK):
        query = select(File.path, File.photo_id, File.failure).where(
            File.path.in_(paths[start : start + _BLOCK])
        )
        for path, photo_id, failure in connection.execute(query):
            known[path] = (photo_id, failure)
    return known


def _record(row: Any) -> FileRecord:
    path, size, mtime_ns, inode, device, state, photo_id, failure = row
    stamp = FileStamp(size, mtime_ns, inode, device)
    return FileRecord(path, stamp, FileState(state), photo_id, failure)
