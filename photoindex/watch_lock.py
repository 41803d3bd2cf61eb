"""One watcher a library: a lock that tells who holds it, and that no crash leaves behind."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from photoindex.errors import LibraryError


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Be the only watcher. Raises LibraryError that names the process that already is.

    The operating system frees the lock when its holder dies; the file beside it is only a note.
    """
    note = path.with_suffix(".json")
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
        note.write_text(json.dumps(_about_us()), encoding="utf-8")
    except Timeout as error:
        raise LibraryError(f"{_holder(note)}: stop it first, or use another library") from error
    except (OSError, NotImplementedError) as error:
        lock.release()
        raise LibraryError(
            f"{path} cannot be locked ({error}): make the library's folder writable, or put it on "
            "a disk of this machine"
        ) from error
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _about_us() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().isoformat(" ", "seconds"),
    }


def _holder(note: Path) -> str:
    try:
        who = json.loads(note.read_text(encoding="utf-8"))
        return (
            f"this library is already watched by process {who['pid']} on {who['host']} "
            f"since {who['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "this library is already watched by another process"
