"""Watches on single folders by Linux's inotify, through watchdog's reader of its event queue.

watchdog's own recursive watches would cover excluded folders too, and its observers take a thread
for every folder scheduled alone; one `InotifyFD` with a callback serves any number of folders.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

# Adding a watched folder again is meant: it may have been moved, and keeps its watch.
warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)


class NoWatchError(Exception):
    """The system allows no watch, or no more of them; the message says why."""


class Kind(Enum):
    """What a notice tells."""

    TOUCHED = auto()
    CREATED = auto()  # folders only: a file's creation is a touch
    GONE = auto()
    LEFT = auto()  # moved away, perhaps to a watched folder: then ARRIVED has the same cookie
    ARRIVED = auto()
    OVERFLOW = auto()  # notices were lost
    UNMOUNTED = auto()


@dataclass(frozen=True, slots=True)
class Notice:
    """One event, its path made up from where the watched folder is now."""

    kind: Kind
    path: str = ""
    is_folder: bool = False
    cookie: int = 0


class FolderWatches:
    """Watches on folders, none of them recursive, and the notices that come of them.

    Events arrive in a thread of their own and are put into `receive` unread; `notice` turns one
    into words later, in the receiver's thread, when all earlier ones have been dealt with.
    """

    def __init__(self, receive: Callable[[InotifyEvent | None], None]) -> None:
        """Raises NoWatchError."""
        if sys.platform != "linux":
            raise NoWatchError("this system has no inotify")
        from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD, Mask

        self._receive = receive
        self._unmounted = InotifyConstants.IN_UNMOUNT
        self._mask = Mask(
            InotifyConstants.IN_CREATE
            | InotifyConstants.IN_MODIFY
            | InotifyConstants.IN_CLOSE_WRITE
            | InotifyConstants.IN_ATTRIB
            | InotifyConstants.IN_DELETE
            | InotifyConstants.IN_MOVE
            | InotifyConstants.IN_DELETE_SELF
            | InotifyConstants.IN_ONLYDIR
            | InotifyConstants.IN_EXCL_UNLINK
        )
        self._id = CallbackId(id(self))
        self._path_of: dict[WatchDescriptor, str] = {}
        self._watch_of: dict[str, WatchDescriptor] = {}
        try:
            self._reader = InotifyFD()
        except OSError as error:
            raise NoWatchError("fs.inotify.max_user_instances is used up") from error
        self._reader.start()

    def add(self, folder: str) -> None:
        """Watch what is at a path now. What vanished or may not be read is passed over.

        Adding again is cheap, and right when another folder may have taken the place since.
        Raises NoWatchError.
        """
        try:
            watch = self._reader.add_callback(os.fsencode(folder), self._mask, self, self._id)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise NoWatchError("fs.inotify.max_user_watches is used up") from error
            return
        if watch == -1:  # how watchdog reports a folder that may not be read
            self._reader.remove_callbacks([(watch, self._id)])
            return
        before = self._watch_of.get(folder)
        if before is not None and before != watch:
            self._remove([before])  # another folder was here, and is found where it is now
        self._forget(watch)
        self._path_of[watch] = folder
        self._watch_of[folder] = watch

    def drop(self, folder: str) -> None:
        """Stop watching a folder and all below it."""
        prefix = folder.rstrip(os.sep) + os.sep
        self._remove(
            [
                watch
                for path, watch in self._watch_of.items()
                if path == folder or path.startswith(prefix)
            ]
        )

    def __contains__(self, folder: str) -> bool:
        return folder in self._watch_of

    def close(self) -> None:
        """Give all watches back and end the reading thread."""
        self._reader.stop()
        self._reader.join()

    def notice(self, event: InotifyEvent | None) -> Notice | None:
        """What an event means, None if nothing; `None` stands for an overflow of the queue."""
        if event is None:
            return Notice(Kind.OVERFLOW)
        folder = self._path_of.get(event.wd)
        if folder is None:
            return None
        if event.mask & self._unmounted:
            return Notice(Kind.UNMOUNTED, folder, is_folder=True)
        if event.is_delete_self:
            return Notice(Kind.GONE, folder, is_folder=True)
        if not event.name:
            return None
        path = folder.rstrip(os.sep) + os.sep + os.fsdecode(event.name)
        kind = self._kind(event)
        return None if kind is None else Notice(kind, path, event.is_directory, event.cookie)

    @staticmethod
    def _kind(event: InotifyEvent) -> Kind | None:
        if event.is_moved_from:
            return Kind.LEFT
        if event.is_moved_to:
            return Kind.ARRIVED
        if event.is_delete:
            return Kind.GONE
        if event.is_directory:
            return Kind.CREATED if event.is_create else None
        return Kind.TOUCHED

    def _remove(self, watches: Sequence[WatchDescriptor]) -> None:
        for watch in watches:
            self._forget(watch)
        self._reader.remove_callbacks([(watch, self._id) for watch in watches])

    def _forget(self, watch: WatchDescriptor) -> None:
        path = self._path_of.pop(watch, None)
        if path is not None and self._watch_of.get(path) == watch:
            del self._watch_of[path]

    # What watchdog's reader calls, in its own thread.

    def on_event(self, event: InotifyEvent) -> None:
        self._receive(event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Nothing to do: the event that led to it tells more."""

    def on_queue_overflow(self) -> None:
        self._receive(None)
