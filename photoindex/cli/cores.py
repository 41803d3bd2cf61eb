"""How many cores arithmetic takes where a watcher and searches share them.

Two processes that each start a thread a core wait for each other's most of the time, and so do two
kinds of arithmetic in one. What the user says in OMP_NUM_THREADS holds. To be called before NumPy
is imported, which looks at the environment once.
"""

from __future__ import annotations

import os
from pathlib import Path

from photoindex.watch_lock import WATCH_LOCK, seems_held


def share_with_watcher(library: Path) -> None:
    """For a search: half of the cores where its library is being watched."""
    if seems_held(library / WATCH_LOCK):
        os.environ.setdefault("OMP_NUM_THREADS", _half())


def share_with_networks() -> None:
    """For a watcher: half of the cores for the searches that it answers, which NumPy computes.

    The networks' own threads are as many as ever: they have no use for this variable.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", _half())


def _half() -> str:
    own = getattr(os, "sched_getaffinity", None)
    cores = len(own(0)) if own is not None else os.cpu_count() or 1
    return str(max(1, cores // 2))
