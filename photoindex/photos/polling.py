"""Looking again and again, where no events can be had: network shares, or watches used up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photoindex.paths import is_below
from photoindex.photo import FileStamp
from photoindex.photos.walk import Scan


@dataclass(frozen=True, slots=True)
class Difference:
    """What two looks at a folder tell apart."""

    touched: tuple[Path, ...]
    gone: tuple[Path, ...]
    moved: tuple[tuple[Path, Path], ...]  # (old, new), the same inode with the same content


class Snapshot:
    """The picture files of a folder as they were at the last look."""

    def __init__(
        self, scan: Callable[[], Scan], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Takes the first look. `stopped` is asked all the time whether to give up looking."""
        self._scan = scan
        self._stopped = stopped
        self._known: dict[str, FileStamp] = {}
        self.compare()

    def compare(self) -> Difference | None:
        """Look again, and tell what is different.

        None, and nothing remembered, when `stopped` said so halfway or the folder itself cannot
        be listed. Files below an unreadable sub-folder count as still there.
        """
        scan = self._scan()
        known, seen = dict(self._known), dict[str, FileStamp]()
        new, touched = list[tuple[str, FileStamp]](), list[Path]()
        for found in scan:
            if self._stopped():
                return None
            path = str(found.path)
            seen[path] = found.stamp
            before = known.pop(path, None)
            if before is None:
                new.append((path, found.stamp))
            elif before != found.stamp:
                touched.append(found.path)
        if scan.folder in scan.unreadable:
            return None
        for path in [path for path in known if is_below(path, scan.unreadable)]:
            seen[path] = known.pop(path)
        self._known = seen
        moved = _moves(known, new)
        origins, targets = {old for old, _ in moved}, {new for _, new in moved}
        return Difference(
            touched=(*touched, *(Path(path) for path, _ in new if path not in targets)),
            gone=tuple(Path(path) for path in known if path not in origins),
            moved=tuple((Path(old), Path(new)) for old, new in moved),
        )


def _moves(gone: dict[str, FileStamp], new: list[tuple[str, FileStamp]]) -> list[tuple[str, str]]:
    """Pairs of a path that is gone and a new one with the very same stamp; only clear cases."""
    left, arrived = defaultdict[FileStamp, list[str]](list), defaultdict[FileStamp, list[str]](list)
    for path, stamp in gone.items():
        left[stamp].append(path)
    for path, stamp in new:
        arrived[stamp].append(path)
    pairs = ((paths, arrived.get(stamp, [])) for stamp, paths in left.items())
    return [(old[0], now[0]) for old, now in pairs if len(old) == len(now) == 1]
