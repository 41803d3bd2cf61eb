"""Who is at work in a library: locks that no crash leaves behind, and a look at them."""

from __future__ import annotations

import contextlib
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

    note = path.with_suffix(".json")
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
        note.touch(mode=0o600)
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


@contextmanager
def hold_with_others(path: Path) -> Iterator[None]:
    """Be one of the processes that hold a lock together, where the system has such locks."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            held.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_SH)  # who only looks is done at once
        yield


def is_held(path: Path, together: bool = False) -> bool:
    """Whether a process holds a lock; False where the system cannot tell.

    Only read: taking it as its holders do would write to its file.
    together: the lock is one of `hold_with_others`.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where a lock's file cannot be deleted while it is held
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if together else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(file)


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
