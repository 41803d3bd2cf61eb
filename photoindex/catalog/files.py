"""Files in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from photoindex.catalog.records import *  # noqa: F403
from photoindex.photo import *  # noqa: F403
from photoindex.tagger import *  # noqa: F403


class Folders:
    def remember(self, path: Path, device: int | None = None) -> None:
        """Adds or updates, online."""
        raise NotImplementedError

    def all(self) -> tuple[FolderRecord, ...]:
        raise NotImplementedError

    def set_online(self, path: Path, online: bool) -> int:
        """Files whose state changed; never deleted ones."""
        raise NotImplementedError

    def forget(self, path: Path) -> bool:
        """Only the folder; its files stay known."""
        raise NotImplementedError


class Files:
    def under(self, folder: Path) -> Iterator[FileRecord]:
        """Streaming, by path, all states."""
        raise NotImplementedError

    def at(self, path: Path) -> FileRecord | None:
        raise NotImplementedError

    def link(self, links: Sequence[FileLink]) -> None:
        raise NotImplementedError

    def move(self, moves: Sequence[FileMove]) -> None:
        """Swaps and chains too."""
        raise NotImplementedError

    def mark_deleted(self, paths: Sequence[Path]) -> None:
        raise NotImplementedError

    def fail(self, failures: Sequence[FileFailure]) -> None:
        raise NotImplementedError

    def restamp(self, files: Sequence[FoundFile]) -> None:
        """Touched, same content; deleted/offline becomes present."""
        raise NotImplementedError

    def failures(self) -> tuple[FileRecord, ...]:
        raise NotImplementedError
