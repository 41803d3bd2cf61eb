"""A disk of a few megabytes that gets full, cannot be written, or goes away."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system in memory, mounted at `path`."""

    path: Path

    def fill(self, left: int) -> None:
        """Take all room but so many bytes."""
        self._filler.unlink(missing_ok=True)
        with self._filler.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.path).free - left) // 4096 * 4096))

    def make_room(self) -> None:
        self._filler.unlink()

    def allow_writing(self, allowed: bool) -> None:
        _run("mount", "-o", f"remount,{'rw' if allowed else 'ro'}", str(self.path))

    @property
    def _filler(self) -> Path:
        return self.path / "filler"


@contextmanager
def mounted(path: Path, megabytes: int = 16) -> Iterator[Disk]:
    """A new, empty disk. Skips the test where this process may not mount."""
    path.mkdir(parents=True)
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    try:
        yield Disk(path)
    finally:
        _run("umount", "--lazy", str(path))


@contextmanager
def also_at(path: Path, folder: Path) -> Iterator[None]:
    """A folder of a disk, mounted at one more place; unmounted, what is in it stays on the disk."""
    _run("mount", "--bind", str(folder), str(path))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(path))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=30)
