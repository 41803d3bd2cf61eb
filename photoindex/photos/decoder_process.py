"""The process that opens picture files, apart because decoders of hostile files crash and blow up.

`photoindex.photos.decoder` starts it and speaks with it over its standard input and output, in
lines of JSON, of which the first says `READY`. For each file its path comes in, and `{"hash": …}`
or `{"failure": …}` goes out, with `"passing": true` where the file is not why. Then the shorter
side that is wanted comes in, or null where the picture is not; after a number, the facts and the
picture's size go out with its RGB bytes behind them, or a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from photoindex.errors import PictureError, Unreachable
from photoindex.photo import PhotoFacts
from photoindex.photos.decode import PictureFile, decode_picture, read_picture

MEMORY = 1536 << 20
"""Bytes of address space, the interpreter's own included: enough for 300 megapixels of RGB."""
LEFT_OVER = 256 << 20
"""Bytes more than at first that may still be taken after a file; then this process ends, as the
formats' libraries leak over damaged files, and the next file has to find memory as well."""
READY = b"{}\n"
ORPHAN_SECONDS = 120
"""For one step of a file; whoever started the process ends it sooner, unless it was killed."""


def main() -> None:
    """Serve until the other end is closed. Whoever stops the parent stops this one with it."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    _limit_memory()
    orders, answers = sys.stdin.buffer, _private_output()
    answers.write(READY)
    answers.flush()
    most = _taken() + LEFT_OVER
    while line := orders.readline():
        _serve(Path(json.loads(line)), orders, answers)
        if _taken() > most:
            break


def _serve(path: Path, orders: BinaryIO, answers: BinaryIO) -> None:
    try:
        with _ending_in_time():
            file = read_picture(path)
    except PictureError as error:
        passing = isinstance(error, Unreachable)
        return _say(answers, {"failure": str(error), "passing": passing})
    except MemoryError:
        return _say(answers, {"failure": "not enough memory to read this file"})
    _say(answers, {"hash": file.hash})
    side = json.loads(orders.readline() or "null")
    if side is not None:
        _decode(file, side, answers)


def _decode(file: PictureFile, side: int, answers: BinaryIO) -> None:
    try:
        with _ending_in_time():
            decoded = decode_picture(file, side)
        pixels = decoded.picture.tobytes()
    except PictureError as error:
        return _say(answers, {"failure": str(error)})
    except MemoryError:
        return _say(answers, {"failure": "not enough memory to decode this file"})
    _say(answers, {"facts": _table(decoded.facts), "picture": decoded.picture.size})
    answers.write(pixels)
    answers.flush()


@contextlib.contextmanager
def _ending_in_time() -> Iterator[None]:
    """The end of this process after ORPHAN_SECONDS, whatever a format's library does meanwhile."""
    alarm = getattr(signal, "alarm", None)  # Windows has none
    if alarm is not None:
        alarm(ORPHAN_SECONDS)
    try:
        yield
    finally:
        if alarm is not None:
            alarm(0)


def _table(facts: PhotoFacts) -> dict[str, Any]:
    metadata = facts.metadata
    return {
        "hash": facts.hash,
        "size": facts.size,
        "width": facts.width,
        "height": facts.height,
        "format": facts.format,
        "taken_at": metadata.taken_at.isoformat() if metadata.taken_at else None,
        "camera": metadata.camera,
        "latitude": metadata.latitude,
        "longitude": metadata.longitude,
    }


def _say(answers: BinaryIO, table: dict[str, Any]) -> None:
    answers.write(json.dumps(table).encode() + b"\n")
    answers.flush()


def _taken() -> int:
    """Bytes of address space that this process has; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[0]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _private_output() -> BinaryIO:
    """The standard output, out of reach of libraries that print to it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
