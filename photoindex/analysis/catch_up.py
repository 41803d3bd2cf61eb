"""What a folder and the catalog disagree about since the last look."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from pathlib import Path

from photoindex.analysis.file_table import FileTable, portions, same_files, with_identity_in
from photoindex.photo import FileRow, FileStamp, FileState, FoundFile

KnownRow = tuple[bytes, int, int, int, int, str]
"""A file as the catalog knows it: a FileRow and its state."""


@dataclass(slots=True)
class Disagreement:
    """Files by what has to be done about them; the unchanged ones are only counted.

    unread: new or changed, to be hashed; back: unchanged, but last known as offline or deleted;
    remounted, renumbered: unchanged, but of another device, or of another inode, since their disk
    was mounted again; gone: known, and there no longer; replaced, formerly: as they were known,
    those with another content or inode by now.
    """

    unread: FileTable = field(default_factory=FileTable)
    back: FileTable = field(default_factory=FileTable)
    remounted: FileTable = field(default_factory=FileTable)
    renumbered: FileTable = field(default_factory=FileTable)
    gone: FileTable = field(default_factory=FileTable)
    replaced: FileTable = field(default_factory=FileTable)
    formerly: FileTable = field(default_factory=FileTable)
    seen: int = 0
    unchanged: int = 0

    def add(self, other: Disagreement) -> None:
        """Take in what was found in another folder."""
        for name in _TABLES:
            mine, its = getattr(self, name), getattr(other, name)
            if len(mine):
                mine.extend(its.rows())
            else:  # no second copy of what may be the whole disk
                setattr(self, name, its)
        self.seen += other.seen
        self.unchanged += other.unchanged

    def forget_below(self, unreadable: Iterable[Path]) -> None:
        """Leave out what is not there for all that is known of it, because it cannot be looked at.

        unreadable: files, and folders with all below them.
        """
        hidden = {os.fsencode(path) for path in unreadable}
        if hidden:
            lost = self.gone.rows()
            self.gone = FileTable(row for row in lost if hidden.isdisjoint(_ways_to(row[0])))


_TABLES = ("unread", "back", "remounted", "renumbered", "gone", "replaced", "formerly")


@dataclass(frozen=True, slots=True)
class Moves:
    """Files that are elsewhere now: the rows at the same position in both tables are one file."""

    before: FileTable = field(default_factory=FileTable)
    now: FileTable = field(default_factory=FileTable)

    def groups(self, size: int) -> Iterator[list[tuple[FoundFile, FoundFile]]]:
        """(before, now) pairs to be recorded group after group, each all at once.

        First those that lead to a path which nothing is moved away from, `size` at a time; then
        chains and swaps of names together, which no order makes right one by one.
        """
        origins = {row[0] for row in self.before.rows()}
        entangled = [row[0] in origins for row in self.now.rows()]
        pairs = zip(self.before, self.now, strict=True)
        yield from portions(compress(pairs, map(not_, entangled)), size)
        rest = list(compress(zip(self.before, self.now, strict=True), entangled))
        if rest:
            yield rest


def compare(found: Iterable[FileRow], known: Iterable[KnownRow]) -> Disagreement:
    """Compare what lies in a folder with what the catalog knows of it.

    Both ascending by path; neither is held. A file is unchanged while size and modification time
    are: inode and device numbers change when a disk is mounted again.
    """
    result = Disagreement()
    records = iter(known)
    record = next(records, None)
    seen = unchanged = 0
    for file in found:
        path = file[0]
        seen += 1
        while record is not None and record[0] < path:
            _miss(record, result)
            record = next(records, None)
        if record is None or record[0] != path:
            result.unread.add(file)
            continue
        if record[:5] == file and record[5] == FileState.PRESENT:
            unchanged += 1
        else:
            _differ(file, record, result)
        record = next(records, None)
    while record is not None:
        _miss(record, result)
        record = next(records, None)
    result.seen, result.unchanged = seen, unchanged
    return result


def tell_moves(found: Disagreement) -> Moves:
    """Take out of a comparison what was only moved, by the file system's word alone.

    A new path, or one with another content than before, that has the inode, size and time of a
    file which is gone, or replaced, is that file: its content need not be read. What seems to be
    at its place, but under the number of such a file, may be that one: it becomes unread.
    """
    doubtful = FileTable()
    for name in ("back", "renumbered"):
        there: FileTable = getattr(found, name)
        for lost in (found.gone, found.replaced, found.formerly):
            positions = with_identity_in(lost, there)
            doubtful.extend(there.row(position) for position in positions.tolist())
            there = there.without(positions)
        setattr(found, name, there)
    moves = Moves()
    found.gone = _tell(found.gone, found, moves)
    found.replaced = _tell(found.replaced, found, moves)
    found.unread.extend(doubtful.rows())
    return moves


def _tell(lost: FileTable, found: Disagreement, moves: Moves) -> FileTable:
    """Note the lost files that are among the unread ones, and give those that are not."""
    origins, targets = same_files(lost, found.unread)
    moves.before.extend(lost.row(position) for position in origins.tolist())
    moves.now.extend(found.unread.row(position) for position in targets.tolist())
    found.unread = found.unread.without(targets)
    return lost.without(origins)


def _differ(file: FileRow, record: KnownRow, result: Disagreement) -> None:
    """Tell what has become of a file that is at a known path, and not as before."""
    _, size, mtime_ns, inode, _, state = record
    former = record[:5]
    if file[1:3] != (size, mtime_ns):
        result.unread.add(file)
        if state != FileState.DELETED:
            result.replaced.add(former)
    elif state != FileState.PRESENT:
        result.back.add(file)
    elif file[3] != inode:
        result.renumbered.add(file)
        result.formerly.add(former)
    else:
        result.remounted.add(file)


def _miss(record: KnownRow, result: Disagreement) -> None:
    if record[5] != FileState.DELETED:
        result.gone.add(record[:5])


def same_content(now: FileStamp, then: FileStamp) -> bool:
    """Whether a file need not be read again."""
    return now.size == then.size and now.mtime_ns == then.mtime_ns


def _ways_to(path: bytes) -> Iterator[bytes]:
    """A path, and every folder on the way to it."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
