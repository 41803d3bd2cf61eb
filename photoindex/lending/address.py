"""Where a library's searches are answered: a Unix socket in its folder, for its owner alone."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoindex.errors import LibraryError

SOCKET = "search.sock"
WAITING = 64
"""Connections that the system keeps until they are accepted."""
KNOWN_HERE = hasattr(socket, "AF_UNIX") and hasattr(os, "geteuid")
"""Whether this system has such sockets, and users."""
_LONGEST = 100  # bytes: 107 on Linux, 103 elsewhere
_CREDENTIALS = struct.Struct("3i")  # process, user, group


def connect(folder: Path, seconds: float) -> socket.socket | None:
    """A connection to the process that answers searches; None where none of this user's does."""
    if not KNOWN_HERE:
        return None
    try:
        found = os.lstat(folder / SOCKET)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:  # nothing there
        return None
    try:
        connection.settimeout(seconds)
        with _short(folder) as address:
            connection.connect(address)
        if is_ours(connection):
            return connection
    except OSError:  # left behind by a process that was killed, for one
        pass
    connection.close()
    return None


def listen(folder: Path) -> socket.socket:
    """Take the place at which searches are answered; what lies there is nobody's.

    Only for whoever holds the lock of it. Raises LibraryError where no socket can be made that is
    its owner's alone.
    """
    if not KNOWN_HERE:
        raise LibraryError("searches cannot be answered on this system: it has no Unix sockets")
    path = folder / SOCKET
    about = folder.stat()
    if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LibraryError(
            f"searches are not answered from {folder}, where others may write: make the folder "
            "yours alone (chmod 700)"
        )
    try:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(folder) as address:
            listener.bind(address)
        path.chmod(0o600)  # before it listens: until then nobody can connect
        listener.listen(WAITING)
    except OSError as error:
        raise LibraryError(
            f"searches cannot be answered from {path} ({error}): put the library on a disk of "
            "this machine"
        ) from error
    return listener


def is_ours(connection: socket.socket) -> bool:
    """Whether the other side is a process of this user, as far as the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the socket's permissions have to do
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(told)[1] == os.geteuid())


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's address, which has to be short however long the folder's name is."""
    path = os.fspath(folder / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    if sys.platform != "linux":
        raise OSError("the path is too long for a socket")
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{place}/{SOCKET}"
    finally:
        os.close(place)
