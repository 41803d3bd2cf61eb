"""What changed in watched folders, held back until it has come to rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photoindex.photo import FileStamp
from photoindex.photos.formats import Hint, hint
from photoindex.photos.walk import stamp_of


@dataclass(frozen=True, slots=True)
class Changes:
    """A set of settled changes, to be applied in the order of the fields.

    A receiver compares stamps as ever: a file told of as touched may be the same as before, a
    moved one may have changed as well. A move from a path that it does not know means that the
    new path was touched; a path in `gone` may never have been a photo.
    """

    moved: tuple[tuple[Path, Path], ...] = ()  # (old, new): a file that is now elsewhere
    gone: frozenset[Path] = frozenset()  # files, or folders with all that they held
    touched: frozenset[Path] = frozenset()  # picture files that are new or changed
    rescan: frozenset[Path] = frozenset()  # watched folders to compare anew; perhaps absent

    def __bool__(self) -> bool:
        return bool(self.moved or self.gone or self.touched or self.rescan)


@dataclass(slots=True)
class _Touched:
    stamp: FileStamp | None
    due: float


class Settling:
    """Collects single notices, and gives out what has been quiet for a while.

    A touched file is given out once its size and times have not changed for `settle` seconds; a
    file that went away is given that time to come back (many programs save by replacing). What
    cannot be put into a safe order (files changing places) becomes touched and gone paths.
    """

    def __init__(
        self,
        settle: float,
        admits: Callable[[Path], bool] = lambda path: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """admits: whether what lies at a path is a picture file to be told of at all."""
        self._settle = settle
        self._admits = admits
        self._clock = clock
        self._touched: dict[Path, _Touched] = {}
        self._gone: dict[Path, float] = {}
        self._moved: dict[Path, tuple[Path, float]] = {}  # new path: old path, due
        self._rescan: set[Path] = set()

    def touch(self, path: Path) -> None:
        """A file was created, written or replaced."""
        if hint(path.name) is Hint.OTHER:
            return
        self._gone.pop(path, None)
        if path not in self._touched:
            self._touched[path] = _Touched(stamp_of(path), self._clock() + self._settle)

    def go(self, path: Path) -> None:
        """A file or folder is not there any more."""
        self._touched.pop(path, None)
        due = self._clock() + self._settle
        self._gone[path] = due
        if path in self._moved:
            self._gone[self._moved.pop(path)[0]] = due

    def move(self, old: Path, new: Path) -> None:
        """A file was renamed, or moved between watched folders."""
        for path in (old, new):
            self._gone.pop(path, None)
        unsettled = self._touched.pop(old, None) is not None
        origin = self._moved.pop(old, (old, 0.0))[0]
        if origin != old:
            self.go(old)  # whatever lay there before was replaced in passing
        if hint(new.name) is Hint.OTHER:
            self.go(origin)
        elif unsettled or origin == new or self._is_origin(new):
            self.go(origin)
            self.touch(new)
        else:
            self._touched.pop(new, None)
            if new in self._moved:
                self.go(self._moved.pop(new)[0])
            self._moved[new] = (origin, self._clock() + self._settle)

    def rescan(self, folder: Path) -> None:
        """Nothing is certain about a folder; what was noticed below it is superseded."""
        for path in [path for path in self._touched if path.is_relative_to(folder)]:
            del self._touched[path]
        for path in [path for path in self._gone if path.is_relative_to(folder)]:
            del self._gone[path]
        for path in [path for path in self._moved if path.is_relative_to(folder)]:
            del self._moved[path]
        self._rescan.add(folder)

    def settled(self) -> Changes:
        """What has come to rest by now; each change is given out once."""
        now = self._clock()
        moved = self._settled_moves(now)
        touched = self._settled_touches(now)
        gone = self._settled_gone(now)
        rescan, self._rescan = frozenset(self._rescan), set()
        return Changes(tuple(moved), frozenset(gone), frozenset(touched), rescan)

    def _is_origin(self, path: Path) -> bool:
        return any(old == path for old, _ in self._moved.values())

    def _settled_moves(self, now: float) -> list[tuple[Path, Path]]:
        moves = []
        for new, (old, due) in list(self._moved.items()):
            if due > now:
                continue
            del self._moved[new]
            if os.path.lexists(old):  # there is another file by now: each is looked at by itself
                self.touch(old)
                self.touch(new)
            elif self._admits(new):
                moves.append((old, new))
            else:
                self._gone.setdefault(old, now)
                self._gone.setdefault(new, now)
        return moves

    def _settled_touches(self, now: float) -> list[Path]:
        touched = []
        for path, waiting in list(self._touched.items()):
            if waiting.due > now:
                continue
            stamp = stamp_of(path)
            if stamp != waiting.stamp:
                self._touched[path] = _Touched(stamp, now + self._settle)
                continue
            del self._touched[path]
            if stamp is not None and self._admits(path):
                touched.append(path)
            else:
                self._gone.setdefault(path, now)
        return touched

    def _settled_gone(self, now: float) -> list[Path]:
        gone = []
        for path in [path for path, due in self._gone.items() if due <= now]:
            del self._gone[path]
            if path.is_dir() and not path.is_symlink():
                self._rescan.add(path)  # another folder by the same name
            elif self._admits(path):
                self.touch(path)
            else:
                gone.append(path)
        return gone
