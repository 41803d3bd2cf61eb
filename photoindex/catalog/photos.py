"""Photos in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from photoindex.catalog.records import *  # noqa: F403
from photoindex.photo import *  # noqa: F403
from photoindex.tagger import *  # noqa: F403


class Photos:
    def get(self, photo_id: int) -> PhotoRecord | None:
        raise NotImplementedError

    def many(self, photo_ids: Ids | Sequence[int]) -> list[PhotoRecord]:
        """Order kept, unknown ids left out."""
        raise NotImplementedError

    def by_hash(self, hash: str) -> PhotoRecord | None:
        raise NotImplementedError

    def at(self, path: Path) -> PhotoRecord | None:
        raise NotImplementedError

    def select(self, wanted: PhotoFilter) -> Ids:
        """Sorted."""
        raise NotImplementedError

    def probability(self, photo_ids: Ids, tag_ids: Sequence[int]) -> Floats:
        """(photos, tags)."""
        raise NotImplementedError
