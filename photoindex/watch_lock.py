"""One process a task: a lock that tells who holds it, and that no crash leaves behind."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from photoindex.errors import LibraryError

WATCH_LOCK = "watch.lock"
"""In a library's folder; held while it is watched."""


@contextmanager
def hold(
    path: Path, done: str = "watched", advice: str = "stop it first, or use another library"
) -> Iterator[None]:
    """Be the only process by which the library is `done`: the only watcher, say.

    Raises LibraryError that names the process that already is, with some advice.
    The operating system frees the lock when its holder dies; the file beside it is only a note.
    """
    from filelock import FileLock, Timeout  # not for those who only look

    note = _note(path)
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
        note.write_text(json.dumps(_about_us()), encoding="utf-8")
    except Timeout as error:
        raise LibraryError(f"{_holder(note, done)}: {advice}") from error
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


def seems_held(path: Path) -> bool:
    """Whether a process says that it holds a lock; one that was killed may still do so."""
    return _note(path).exists()


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _about_us() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().isoformat(" ", "seconds"),
    }


def _holder(note: Path, done: str) -> str:
    try:
        who = json.loads(note.read_text(encoding="utf-8"))
        return (
            f"this library is already {done} by process {who['pid']} on {who['host']} "
            f"since {who['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return f"this library is already {done} by another process"
