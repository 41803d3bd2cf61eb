"""Watching folders for photos that come, change, move and go: a generator of settled changes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from photoindex.paths import is_below
from photoindex.photos.changes import Changes, Settling
from photoindex.photos.formats import is_picture_file
from photoindex.photos.inotify import FolderWatches, Kind, Notice, NoWatchError
from photoindex.photos.polling import Snapshot
from photoindex.photos.walk import Pruning, Scan, stamp_of

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent

_log = logging.getLogger(__name__)

TICK = 0.1  # seconds between looks at what has settled
ROOT_CHECK = 2.0  # seconds between looks whether watched folders are still there
POLL = 10.0  # seconds between two looks at a polled folder, more where one look takes long
ARRIVAL = 1.0  # seconds in which what left one folder arrives in another
EVENTS_AT_ONCE = 10_000  # so that settled changes get out during a storm of events
EVENTS_KEPT = 100_000  # while photos are analysed; beyond them all is looked at anew


def watch(
    folders: Sequence[Path],
    excludes: Sequence[str] = (),
    *,
    stop: threading.Event,
    polling: bool = False,
    settle: float = 1.0,
    poll: float = POLL,
    remind: float = math.inf,
) -> Iterator[Changes]:
    """What changes in some folders, until `stop` is set.

    folders: absolute. excludes: see `Pruning`. settle: seconds for which a file must not change
    before it is told of. poll: seconds between looks where polling is wanted or needed. remind:
    seconds after which an empty set comes where nothing has changed.

    The first set asks for a rescan of all folders and comes when their watches are in place, so
    that whoever compares the folders then and follows the later sets misses nothing. A folder
    that is not there, or comes back, is told of as a rescan as well. Nothing that lies in a
    folder that vanished is ever told of as gone.
    """
    with Watcher(folders, excludes, stop, polling, settle, poll) as watcher:
        told = time.monotonic()
        while not stop.is_set():
            changes = watcher.settled()
            if changes or time.monotonic() - told >= remind:
                yield changes
                told = time.monotonic()
            else:
                watcher.wait(TICK)


@dataclass(slots=True)
class _Root:
    """A watched folder as it was given."""

    path: str
    pruning: Pruning
    identity: tuple[int, int] | None = None  # device and inode, None while it is not there
    snapshot: Snapshot | None = None
    next_look: float = 0.0


@dataclass(frozen=True, slots=True)
class _Departed:
    """What was moved away from a watched folder, and is not seen to have arrived yet."""

    path: str
    at: float


class Watcher:
    """Turns events and looks at folders into notices for `Settling`; see `watch`."""

    def __init__(
        self,
        folders: Sequence[Path],
        excludes: Sequence[str],
        stop: threading.Event,
        polling: bool,
        settle: float,
        poll: float,
    ) -> None:
        self._excludes = tuple(excludes)
        self._stop = stop
        self._poll = poll
        self._roots = [_Root(os.fspath(path), Pruning(path, excludes)) for path in folders]
        # No SimpleQueue: a signal at the very end of its timeout has it wait for ever (CPython).
        self._inbox: queue.Queue[InotifyEvent | None] = queue.Queue()
        self._lost = False  # events that came when there were too many
        self._settling = Settling(settle, self._admits)
        self._left: dict[int, _Departed] = {}  # by the cookie that the arrival will have as well
        self._next_root_check = 0.0
        self._told_of_limit = False
        self._watches = None if polling else self._first_watches()

    def __enter__(self) -> Self:
        for root in self._roots:
            self._start(root)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watches is not None:
            self._watches.close()

    def wait(self, seconds: float) -> None:
        """Deal with what arrives within some seconds, and with what is due to be looked at."""
        with contextlib.suppress(queue.Empty):
            self._handle(self._inbox.get(timeout=seconds))
            for _ in range(EVENTS_AT_ONCE):
                self._handle(self._inbox.get_nowait())
        now = time.monotonic()
        self._left = {
            cookie: departed
            for cookie, departed in self._left.items()
            if departed.at > now - ARRIVAL
        }
        if now >= self._next_root_check:
            self._next_root_check = now + ROOT_CHECK
            self._restart_changed()
        for root in self._roots:
            if root.snapshot is not None and now >= root.next_look:
                self._look_again(root)

    def settled(self) -> Changes:
        """The changes that have come to rest, without what only a vanished folder made seem so."""
        changes = self._settling.settled()
        if changes.gone or changes.moved:
            away = [Path(root.path) for root in self._restart_changed()]
            changes = _without(changes, away)
        around = (self._root_of(os.fspath(folder)) for folder in changes.rescan)
        roots = frozenset(Path(root.path) for root in around if root is not None)
        return dataclasses.replace(changes, rescan=roots)

    # Watched folders as a whole.

    def _start(self, root: _Root) -> None:
        """Begin to watch a folder, or begin again: nothing known about it counts any more."""
        root.identity, root.snapshot = _identity(root.path), None
        if self._watches is not None:
            self._watches.drop(root.path)
        if root.identity is not None:
            if self._watches is None:
                self._look_from_now_on(root)
            else:
                self._watch_folders(root, root.path)
        self._settling.rescan(Path(root.path))

    def _restart_changed(self) -> list[_Root]:
        """Start anew with the watched folders that vanished, came back or were replaced."""
        changed = [root for root in self._roots if _identity(root.path) != root.identity]
        for root in changed:
            self._start(root)
        return changed

    def _root_of(self, path: str) -> _Root | None:
        """The innermost watched folder that a path lies in."""
        around = [root for root in self._roots if is_below(path, [root.path])]
        return max(around, key=lambda root: len(root.path), default=None)

    def _admits(self, path: Path) -> bool:
        root = self._root_of(os.fspath(path))
        if root is None or stamp_of(path) is None:
            return False
        return is_picture_file(os.fspath(path)) and (
            not path.is_symlink() or root.pruning.follows(os.fspath(path))
        )

    def _scan(self, root: _Root, folder: str) -> Scan:
        return Scan(Path(folder), self._excludes, root=Path(root.path))

    # Events.

    def _first_watches(self) -> FolderWatches | None:
        try:
            return FolderWatches(self._receive)
        except NoWatchError as error:
            _log.warning("no events (%s): looking every %g s instead", error, self._poll)
            return None

    def _receive(self, event: InotifyEvent | None) -> None:
        """In the reader's thread. Too many events are as if the system's own queue overflowed."""
        if event is None or self._inbox.qsize() < EVENTS_KEPT:
            self._inbox.put(event)
        elif not self._lost:
            self._lost = True
            self._inbox.put(None)

    def _watch_folders(self, root: _Root, folder: str) -> None:
        """Watch a folder and all below it; where watches run out, polling takes over."""
        if self._watches is None or root.snapshot is not None:
            return
        try:
            for path in self._scan(root, folder).folders():
                self._watches.add(os.fspath(path))
        except NoWatchError as error:
            if not self._told_of_limit:
                self._told_of_limit = True
                _log.warning(
                    "no more events (%s): looking every %g s instead, until the limit is raised"
                    " and watching started again",
                    *(error, self._poll),
                )
            self._look_from_now_on(root)

    def _handle(self, event: InotifyEvent | None) -> None:
        watches = self._watches
        notice = None if watches is None else watches.notice(event)
        if watches is None or notice is None:
            return
        if notice.kind is Kind.OVERFLOW:
            self._lost = False  # first: what is lost from here on has to be told of again
            _log.warning("too many changes at once to follow each: looking anew")
            for each in self._roots:
                self._start(each)
            return
        root = self._root_of(notice.path)
        if root is None:
            return
        if notice.kind is Kind.UNMOUNTED:
            self._start(root)
        elif notice.path == root.path:
            self._restart_changed()
        elif notice.is_folder:
            self._handle_folder(watches, root, notice)
        else:
            self._handle_file(root, notice)

    def _handle_file(self, root: _Root, notice: Notice) -> None:
        path = Path(notice.path)
        departed = self._left.pop(notice.cookie, None)
        if root.pruning.leaves_out(notice.path):
            return
        if notice.kind is Kind.LEFT:
            self._left[notice.cookie] = _Departed(notice.path, time.monotonic())
            self._settling.go(path)
        elif notice.kind is Kind.GONE:
            self._settling.go(path)
        elif departed is not None:
            self._settling.move(Path(departed.path), path)
        else:
            self._settling.touch(path)

    def _handle_folder(self, watches: FolderWatches, root: _Root, notice: Notice) -> None:
        """Events lag behind the disk: another folder may be at the path by now.

        So watches follow no folder about. They are dropped when it leaves, and taken out anew on
        whatever is there when something arrived; then what it holds is looked at.
        """
        departed = self._left.pop(notice.cookie, None)
        if root.pruning.leaves_out(notice.path):
            return
        if notice.kind in (Kind.LEFT, Kind.GONE):
            if notice.kind is Kind.LEFT:
                self._left[notice.cookie] = _Departed(notice.path, time.monotonic())
            watches.drop(notice.path)
            self._settling.go(Path(notice.path))
        else:
            self._enter(root, notice.path, departed.path if departed is not None else None)

    def _enter(self, root: _Root, folder: str, old: str | None = None) -> None:
        """A folder appeared: watch it first, then notice what it already holds.

        old: where it was moved from, if that was watched.
        """
        self._watch_folders(root, folder)
        for found in self._scan(root, folder):
            if old is not None:
                before = old + os.fspath(found.path).removeprefix(folder)
                self._settling.move(Path(before), found.path)
            else:
                self._settling.touch(found.path)
        if old is not None:
            self._settling.go(Path(old))  # what else it held, after the moves

    # Polling.

    def _look_from_now_on(self, root: _Root) -> None:
        root.snapshot = Snapshot(lambda: self._scan(root, root.path), self._stop.is_set)
        root.next_look = time.monotonic() + self._poll

    def _look_again(self, root: _Root) -> None:
        assert root.snapshot is not None
        began = time.monotonic()
        difference = root.snapshot.compare()
        took = time.monotonic() - began
        root.next_look = began + took + max(self._poll, 3 * took)
        if _identity(root.path) != root.identity or difference is None:
            return
        for old, new in difference.moved:
            self._settling.move(old, new)
        for path in difference.gone:
            self._settling.go(path)
        for path in difference.touched:
            self._settling.touch(path)


def _without(changes: Changes, folders: Sequence[Path]) -> Changes:
    """Changes without what seems gone or moved in some folders."""

    def inside(path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in folders)

    return dataclasses.replace(
        changes,
        gone=frozenset(path for path in changes.gone if not inside(path)),
        moved=tuple(pair for pair in changes.moved if not any(map(inside, pair))),
    )


def _identity(folder: str) -> tuple[int, int] | None:
    """What tells a folder from another one mounted or created in its place."""
    try:
        status = os.stat(folder)  # noqa: PTH116  (watched paths are strings)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if os.path.isdir(folder) else None  # noqa: PTH112
