"""Who is at work in a library, told without touching its locks' files."""

from __future__ import annotations

import os
from pathlib import Path


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock; False where the system cannot tell.

    Only read: taking it as its holders do would write to its file.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where a lock's file cannot be deleted while it is held
        return False
    try:
        file = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        fcntl.flock(file, fcntl.LOCK_UN)
        return False
    finally:
        os.close(file)
