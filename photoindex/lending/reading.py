"""Reading lines from a connection, none of them endless and none of them awaited for ever."""

from __future__ import annotations

import socket
import time

_PART = 64 * 1024  # bytes


class Lines:
    """The lines that come over one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = bytearray()

    def next(self, longest: int, seconds: float) -> bytes:
        """The next line, its end taken off.

        longest: bytes; seconds: for the whole line, however slowly it comes. Raises OSError where
        it is longer, takes longer, or the connection ends before it does.
        """
        due = time.monotonic() + seconds
        searched = 0
        while (end := self._read.find(b"\n", searched)) < 0:
            searched = len(self._read)
            left = due - time.monotonic()
            if searched > longest:
                raise OSError("the line is too long")
            if left <= 0:
                raise TimeoutError("the line is too slow")
            self._connection.settimeout(left)
            part = self._connection.recv(_PART)
            if not part:
                raise ConnectionError("the line has no end")
            self._read += part
        if end > longest:
            raise OSError("the line is too long")
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line
