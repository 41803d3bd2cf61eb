"""What is written beside its place, and takes it when all of it is safely on disk."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".aside"
_ABANDONED = 24 * 3600  # seconds after which what is half-written is nobody's


@contextmanager
def beside(path: Path, prefix: str) -> Iterator[Path]:
    """An empty file beside `path`, its owner's alone, removed unless it is moved away.

    prefix: what its name begins with; it ends in `SUFFIX`. Raises OSError.
    """
    handle, name = tempfile.mkstemp(SUFFIX, prefix, path.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():  # some file systems cannot do it for folders
            raise
    finally:
        os.close(handle)


def abandoned(folder: Path, pattern: str) -> Iterator[Path]:
    """What killed processes left in a folder a day ago; newer ones may still be at work."""
    for left in folder.glob(pattern):
        with suppress(FileNotFoundError):  # another process has just moved it into its place
            if left.lstat().st_mtime < time.time() - _ABANDONED:
                yield left
