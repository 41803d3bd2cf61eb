"""How many cores searches take while networks look at photos: half, so that neither waits.

Two processes that each start a thread a core wait for each other's most of the time, and so do two
kinds of arithmetic in one. Whoever analyses photos says so in the library's folder; whoever
searches looks. What the user says in OMP_NUM_THREADS holds.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

NOTE = "analysing.pid"
"""In a library's folder, with the number of the process, while networks look at photos."""


@contextlib.contextmanager
def analysing(library: Path) -> Iterator[None]:
    """Say meanwhile that this process analyses photos. A folder that cannot be written says no."""
    note = library / NOTE
    with contextlib.suppress(OSError):
        note.write_text(str(os.getpid()), encoding="ascii")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)


def being_analysed(library: Path) -> bool:
    """Whether some process analyses the library's photos now; one that was killed does not."""
    try:
        process = int((library / NOTE).read_text(encoding="ascii"))
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def share_from_the_start(library: Path) -> None:
    """For a process that is to search once: to be called before NumPy is imported.

    NumPy looks at the environment then, and never again.
    """
    if being_analysed(library):
        os.environ.setdefault("OMP_NUM_THREADS", str(_half()))


@contextlib.contextmanager
def sharing(library: Path) -> Iterator[None]:
    """For a process that searches again and again: NumPy's threads for one search."""
    if "OMP_NUM_THREADS" in os.environ or not being_analysed(library):
        yield
        return
    with _arithmetic().limit(limits=_half()):
        yield


@functools.cache
def _arithmetic() -> ThreadpoolController:
    """What multiplies NumPy's matrices; torch's own threads are another matter."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(internal_api="openblas")


def _half() -> int:
    own = getattr(os, "sched_getaffinity", None)
    cores = len(own(0)) if own is not None else os.cpu_count() or 1
    return max(1, cores // 2)
