"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoindex.aside import beside, sync
from photoindex.errors import LibraryError, UsageError

PRIVATE = 0o600
_SQLITE_LEFTOVERS = ("-journal", "-wal", "-shm")


@contextmanager
def written_aside(path: Path, mode: int = PRIVATE) -> Iterator[Path]:
    """An empty file beside `path`, which takes its name when all is safely on disk.

    mode: its permissions then; until then it is its owner's alone. A file that is in the way is
    replaced. Raises OSError; nothing is left of the file then.
    """
    with beside(path, ".photoindex-") as aside:
        try:
            yield aside
            aside.chmod(mode)
            sync(aside)
            aside.replace(path)
            sync(path.parent)
        finally:
            for leftover in _SQLITE_LEFTOVERS:
                aside.with_name(aside.name + leftover).unlink(missing_ok=True)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what the file system says into LibraryError."""
    try:
        yield
    except OSError as error:
        raise LibraryError(f"{path} cannot be written: {error.strerror or error}") from error


def check_target(path: Path, force: bool) -> None:
    """Find out before the work, not after, that a file can be made.

    Raises UsageError where it is there and not to be replaced, or is a folder; LibraryError.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {path.parent} to write {path.name} into: make it first")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{path} is there already: name another file, or replace it with --force")
    if not os.access(path.parent, os.W_OK):
        raise LibraryError(f"{path.parent} is not to be written into: name another folder")
