"""How many cores searches take while networks look at photos: half, so that neither waits.

Two processes that each start a thread a core wait for each other's most of the time, and so do two
kinds of arithmetic in one. Whoever analyses photos says so in the library's folder; whoever
searches looks. What the user says in OMP_NUM_THREADS holds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from photoindex.locks import hold_with_others, is_held

LOCK = "analysing.lock"
"""In a library's folder, held by each process whose networks look at photos."""


def analysing(library: Path) -> contextlib.AbstractContextManager[None]:
    """Say meanwhile that this process analyses photos. A folder that cannot be written says no."""
    return hold_with_others(library / LOCK)


def being_analysed(library: Path) -> bool:
    """Whether some process analyses the library's photos now."""
    return is_held(library / LOCK, together=True)


def share_from_the_start(library: Path) -> None:
    """For a process that is to search once: to be called before NumPy is imported.

    NumPy looks at the environment then, and never again.
    """
    if being_analysed(library):
        os.environ.setdefault("OMP_NUM_THREADS", str(_half()))


@contextlib.contextmanager
def sharing(library: Path) -> Iterator[None]:
    """For a process that searches again and again: NumPy's threads meanwhile, in all of it."""
    if "OMP_NUM_THREADS" in os.environ or not being_analysed(library):
        yield
        return
    _arithmetic.halve()
    try:
        yield
    finally:
        _arithmetic.release()


class _Arithmetic:
    """What multiplies NumPy's matrices; torch's own threads are another matter.

    Its threads are counted for the whole process, and searches overlap: the first one halves them,
    the last one gives them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._searches = 0
        self._limit: Any = None

    def halve(self) -> None:
        from threadpoolctl import ThreadpoolController

        with self._lock:
            if self._searches == 0:
                openblas = ThreadpoolController().select(internal_api="openblas")
                self._limit = openblas.limit(limits=_half())
            self._searches += 1

    def release(self) -> None:
        with self._lock:
            self._searches -= 1
            if self._searches == 0:
                self._limit.restore_original_limits()


_arithmetic = _Arithmetic()


def _half() -> int:
    own = getattr(os, "sched_getaffinity", None)
    cores = len(own(0)) if own is not None else os.cpu_count() or 1
    return max(1, cores // 2)
