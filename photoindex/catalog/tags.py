"""Tags in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from photoindex.catalog.records import *  # noqa: F403
from photoindex.photo import *  # noqa: F403
from photoindex.tagger import *  # noqa: F403


class Tags:
    def tag(self, photo_ids: Sequence[int], name: str, source: Source = Source.USER) -> None:
        raise NotImplementedError

    def untag(self, photo_ids: Sequence[int], name: str) -> None:
        raise NotImplementedError

    def of(
        self, photo_ids: Ids | Sequence[int], everything: bool = False
    ) -> dict[int, tuple[PhotoTag, ...]]:
        """Every id a key; most probable first."""
        raise NotImplementedError

    def counts(
        self, limit: int | None = None, source: Source | None = None
    ) -> tuple[TagCount, ...]:
        raise NotImplementedError

    def find(self, word: str) -> tuple[TagRecord, ...]:
        raise NotImplementedError

    def similar(self, word: str, limit: int = 5) -> tuple[TagRecord, ...]:
        raise NotImplementedError
