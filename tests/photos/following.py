"""Somebody who follows the changes of watched folders."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from photoindex.photos.changes import Changes
from photoindex.photos.walk import Scan
from photoindex.photos.watch import watch

PICTURE = b"\xff\xd8\xff picture"
PATIENCE = 30.0  # seconds until a test gives up


def put(path: Path, content: bytes = PICTURE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class Follower:
    """Follows the changes as a library would, and so knows which files there should be."""

    def __init__(self, folders: list[Path], excludes: list[str], polling: bool) -> None:
        self.folders, self.excludes = folders, excludes
        self.files: set[Path] = set()
        self.offline: set[Path] = set()
        self.seen: list[Changes] = []
        self.stop = threading.Event()
        self._news = threading.Condition()
        self._changes = watch(
            folders, excludes, stop=self.stop, polling=polling, settle=0.15, poll=0.2
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.until(lambda: bool(self.seen))

    def _run(self) -> None:
        for changes in self._changes:
            with self._news:
                self._apply(changes)
                self.seen.append(changes)
                self._news.notify_all()

    def _apply(self, changes: Changes) -> None:
        for old, new in changes.moved:
            self.files.discard(old)
            self.files.add(new)
        for path in changes.gone:
            self.files -= {file for file in self.files if file.is_relative_to(path)}
        self.files |= changes.touched
        assert changes.rescan <= set(self.folders)
        for folder in changes.rescan:
            found = Scan(folder, self.excludes)
            files = {item.path for item in found}
            if folder in found.unreadable:
                self.offline.add(folder)
                continue
            self.offline.discard(folder)
            self.files = {file for file in self.files if not file.is_relative_to(folder)} | files

    def until(self, holds: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(holds, PATIENCE), (self.files, self.seen)

    def until_quiet(self, folder: Path) -> None:
        """Until everything that was done before this call must have been told of."""
        mark = put(folder / f"mark-{time.monotonic_ns()}.jpg")
        self.until(lambda: mark in self.files)
        mark.unlink()
        self.until(lambda: mark not in self.files)

    def told(self, path: Path) -> int:
        """How many times a path was told of as touched or moved to."""
        news = [{*item.touched, *(new for _, new in item.moved)} for item in self.seen]
        return sum(path in told for told in news)

    def moves(self) -> set[tuple[Path, Path]]:
        return {pair for changes in self.seen for pair in changes.moved}

    def close(self) -> None:
        self.stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Follow = Callable[..., Follower]
