"""The process that opens picture files, apart because decoders of hostile files crash and blow up.

`photoindex.photos.decoder` starts it and speaks with it over its standard input and output, in
lines of JSON. For each file its path comes in, and `{"hash": …}` or `{"failure": …}` goes out. Then
the shorter side that is wanted comes in, or null where the picture is not; after a number, the
facts and the picture's size go out with its RGB bytes behind them, or a failure.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from photoindex.errors import PictureError
from photoindex.photo import PhotoFacts
from photoindex.photos.decode import PictureFile, decode_picture, read_picture

MEMORY = 1536 << 20
"""Bytes of address space, the interpreter's own included: enough for 300 megapixels of RGB."""


def main() -> None:
    """Serve until the other end is closed. Whoever stops the parent stops this one with it."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    _limit_memory()
    orders, answers = sys.stdin.buffer, _private_output()
    while line := orders.readline():
        try:
            file = read_picture(Path(json.loads(line)))
        except PictureError as error:
            _say(answers, {"failure": str(error)})
            continue
        except MemoryError:
            _say(answers, {"failure": "not enough memory to read this file"})
            continue
        _say(answers, {"hash": file.hash})
        side = json.loads(orders.readline() or "null")
        if side is not None:
            _decode(file, side, answers)


def _decode(file: PictureFile, side: int, answers: BinaryIO) -> None:
    try:
        decoded = decode_picture(file, side)
    except PictureError as error:
        return _say(answers, {"failure": str(error)})
    pixels = decoded.picture.tobytes()
    _say(answers, {"facts": _table(decoded.facts), "picture": decoded.picture.size})
    answers.write(pixels)
    answers.flush()


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
