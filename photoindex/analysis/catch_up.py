"""What a folder and the catalog disagree about since the last look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from photoindex.catalog.records import FileMove, FileRecord
from photoindex.photo import FileStamp, FileState, FoundFile


@dataclass(slots=True)
class Disagreement:
    """Files by what has to be done about them.

    unread: new or changed, to be hashed; moved: known content at a new path, told by the file
    system alone; back: unchanged, but last known as offline or deleted; renumbered: unchanged, but
    of another inode or device since its disk was mounted again; gone: no longer there.
    """

    unread: list[FoundFile] = field(default_factory=list)
    moved: list[FileMove] = field(default_factory=list)
    back: list[FoundFile] = field(default_factory=list)
    renumbered: list[FoundFile] = field(default_factory=list)
    gone: list[FileRecord] = field(default_factory=list)
    seen: int = 0
    unchanged: int = 0


def compare(found: Iterable[FoundFile], known: Iterable[FileRecord]) -> Disagreement:
    """Compare what lies in a folder with what the catalog knows of it.

    A file is unchanged while size and modification time are: inode and device numbers change when
    a disk is mounted again. A new path with the inode, size and time of a missing file is that
    file, moved; its content is not read again.
    """
    records = {record.path: record for record in known}
    result = Disagreement()
    new: list[FoundFile] = []
    for file in found:
        result.seen += 1
        record = records.pop(file.path, None)
        if record is None:
            new.append(file)
        elif not same_content(file.stamp, record.stamp):
            result.unread.append(file)
        elif record.state is not FileState.PRESENT:
            result.back.append(file)
        else:
            result.unchanged += 1
            if file.stamp != record.stamp:
                result.renumbered.append(file)
    missing = [record for record in records.values() if record.state is not FileState.DELETED]
    _tell_moves(new, missing, result)
    return result


def same_content(now: FileStamp, then: FileStamp) -> bool:
    """Whether a file need not be read again."""
    return now.size == then.size and now.mtime_ns == then.mtime_ns


def _tell_moves(new: list[FoundFile], missing: list[FileRecord], result: Disagreement) -> None:
    by_inode = {
        (record.stamp.inode, record.stamp.size, record.stamp.mtime_ns): record
        for record in missing
        if record.photo_id is not None
    }
    left = {record.path for record in missing}
    for file in new:
        stamp = file.stamp
        record = by_inode.pop((stamp.inode, stamp.size, stamp.mtime_ns), None)
        if record is None:
            result.unread.append(file)
        else:
            result.moved.append(FileMove(record.path, file))
            left.discard(record.path)
    result.gone.extend(record for record in missing if record.path in left)
