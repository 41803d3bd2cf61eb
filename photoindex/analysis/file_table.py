"""Very many files in little memory: a first look at a disk may find a million new ones."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from photoindex.photo import FileRow, FoundFile, found_file
from photoindex.tagger import Ids

# The columns of numbers in a table, in the order of a FileRow: size, mtime_ns, inode, device.
_KINDS = "qqQQ"

T = TypeVar("T")


class FileTable(Sequence[FoundFile]):
    """Files in the order in which they were added, a record made of each only when it is asked for.

    Takes about 45 bytes a file and those of its name; what lies in one folder should be added
    together, because the folder's path is kept once then.
    """

    def __init__(self, rows: Iterable[FileRow] = ()) -> None:
        self._folders: list[bytes] = []
        self._folder_of = array("I")
        self._names = bytearray()
        self._ends = array("Q")
        self._numbers = tuple(array(kind) for kind in _KINDS)
        self.extend(rows)

    def extend(self, rows: Iterable[FileRow]) -> None:
        """Add files at the end."""
        for row in rows:
            self.add(row)

    def add(self, row: FileRow) -> None:
        """Add one file at the end."""
        folder, _, name = row[0].rpartition(b"/")
        if not self._folders or folder != self._folders[-1]:
            self._folders.append(folder)
        self._folder_of.append(len(self._folders) - 1)
        self._names += name
        self._ends.append(len(self._names))
        for column, number in zip(self._numbers, row[1:], strict=True):
            column.append(number)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, position: int) -> FoundFile: ...
    @overload
    def __getitem__(self, position: slice) -> list[FoundFile]: ...
    def __getitem__(self, position: int | slice) -> FoundFile | list[FoundFile]:
        places = range(len(self))[position]
        if isinstance(places, range):
            return [found_file(self.row(place)) for place in places]
        return found_file(self.row(places))

    def __iter__(self) -> Iterator[FoundFile]:
        return map(found_file, self.rows())

    def row(self, position: int) -> FileRow:
        """One file as a plain tuple; position: 0 … len - 1."""
        name = self._names[self._ends[position - 1] if position else 0 : self._ends[position]]
        size, mtime_ns, inode, device = self._numbers
        return (
            self._folders[self._folder_of[position]] + b"/" + name,
            size[position],
            mtime_ns[position],
            inode[position],
            device[position],
        )

    def rows(self) -> Iterator[FileRow]:
        """Every file as a plain tuple."""
        return map(self.row, range(len(self)))

    def without(self, positions: Ids) -> FileTable:
        """The other files, in the same order."""
        if not len(positions):
            return self
        kept = np.ones(len(self), dtype=bool)
        kept[positions] = False
        return FileTable(compress(self.rows(), kept))

    def identities(self) -> tuple[NDArray[Any], ...]:
        """mtime_ns, size and inode, (files,) each: a file keeps all three when it is renamed."""
        size, mtime_ns, inode, _ = self._numbers
        return tuple(np.array(column) for column in (mtime_ns, size, inode))


def portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Some items at a time."""
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion


def same_files(before: FileTable, now: FileTable) -> tuple[Ids, Ids]:
    """Which files of two tables are the same by identity: positions in the one, in the other.

    (n,) int64 each, ascending in `now`; no position comes twice. Of several names for one file,
    which are links to the same content, the first is paired with the first, and so on.
    """
    left, come, ids = _common(before, now)
    old, new = (part * (len(ids) + 1) + _ranks(part) for part in np.split(ids, [len(left)]))
    _, first, second = np.intersect1d(old, new, assume_unique=True, return_indices=True)
    order = np.argsort(second)
    return left[first[order]], come[second[order]]


def with_identity_in(before: FileTable, now: FileTable) -> Ids:
    """Which files of `now` have the identity of some file in `before`: (n,) int64, ascending."""
    left, come, ids = _common(before, now)
    return come[np.isin(ids[len(left) :], ids[: len(left)])]


def _common(before: FileTable, now: FileTable) -> tuple[Ids, Ids, Ids]:
    """The files whose inode is in the other table as well, and a number for each identity.

    Returns positions in `before` and in `now`, and the numbers of both, one after the other.
    """
    if not len(before) or not len(now):
        none = np.empty(0, dtype=np.int64)
        return none, none, none
    then, later = before.identities(), now.identities()
    left = np.flatnonzero(np.isin(then[-1], later[-1]))
    come = np.flatnonzero(np.isin(later[-1], then[-1]))
    columns = [np.concatenate([a[left], b[come]]) for a, b in zip(then, later, strict=True)]
    order = np.lexsort(columns)
    different = np.zeros(len(order), dtype=bool)
    for column in columns:
        different[1:] |= column[order[1:]] != column[order[:-1]]
    ids = np.empty(len(order), dtype=np.int64)
    ids[order] = np.cumsum(different)
    return left, come, ids


def _ranks(ids: Ids) -> Ids:
    """For each number, how many equal ones stand before it."""
    order = np.argsort(ids, kind="stable")
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[order] = np.arange(len(ids)) - np.searchsorted(ids[order], ids[order])
    return ranks
