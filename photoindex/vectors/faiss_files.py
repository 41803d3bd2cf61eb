"""FAISS, loaded when it is first needed, and its indexes in files."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, BinaryIO

from photoindex.errors import LibraryError

_AT_ONCE = 1 << 22  # bytes


@cache
def faiss_module() -> Any:
    """FAISS, running no more threads than there are cores. Raises LibraryError without it."""
    try:
        import faiss
    except ImportError as error:
        raise LibraryError(
            "FAISS cannot be loaded: install either faiss-cpu or faiss-gpu, not both"
            " (docs/how-to/gpu.md)"
        ) from error
    faiss.omp_set_num_threads(min(faiss.omp_get_max_threads(), _cores()))
    return faiss


def read_index(file: BinaryIO) -> Any:
    """The FAISS index in an open file. Raises ValueError.

    FAISS trusts what it reads, down to the sizes of arrays: a damaged file may crash it, so its
    checksum comes first.
    """
    faiss = faiss_module()
    try:
        # Through Python's file: FAISS takes no path that is not UTF-8.
        return faiss.read_index(faiss.PyCallbackIOReader(file.read, _AT_ONCE))
    except RuntimeError as error:
        raise ValueError("FAISS cannot read it") from error


def write_index(index: Any, file: BinaryIO) -> None:
    """Write a FAISS index into an open file. Raises OSError."""
    faiss = faiss_module()
    try:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, _AT_ONCE))
    except RuntimeError as error:
        raise OSError(f"FAISS cannot write {file.name}: {error}") from error


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
