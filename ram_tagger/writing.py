"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ram_tagger.errors import RamTaggerError


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into; it takes its name when all is safely on disk, in place of one there.

    Raises RamTaggerError where it cannot be written.
    """
    aside = path.with_name(f".{path.name}-{os.getpid()}.aside")
    try:
        try:
            with aside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise RamTaggerError(f"{path} cannot be written: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """Find out before hours of work, not after. Raises RamTaggerError."""
    if path.is_dir():
        raise RamTaggerError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise RamTaggerError(f"no folder {path.parent} to write {path.name} into: make it first")
    if not os.access(path.parent, os.W_OK):
        raise RamTaggerError(f"{path.parent} is not to be written into: name another folder")
