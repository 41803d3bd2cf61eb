"""Analyses in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from photoindex.catalog.records import *  # noqa: F403
from photoindex.photo import *  # noqa: F403
from photoindex.tagger import *  # noqa: F403


class Analyses:
    def record(self, batch: Sequence[NewAnalysis], model_id: str) -> list[int]:
        """Photo ids; one transaction."""
        raise NotImplementedError

    def has(self, photo_id: int, model_id: str) -> bool:
        raise NotImplementedError

    def awaiting_count(self, model_id: str) -> int:
        raise NotImplementedError

    def awaiting(self, model_id: str) -> Iterator[FileRecord]:
        """One PRESENT file of each photo that model has not analysed."""
        raise NotImplementedError

    def state(self, model_id: str) -> AnalysisState:
        raise NotImplementedError

    def photo_ids(self, model_id: str) -> Ids:
        """Sorted."""
        raise NotImplementedError

    def embeddings(self, model_id: str, after: int = 0) -> Iterator[EmbeddingBlock]:
        """Analyses numbered > after."""
        raise NotImplementedError

    def stored(
        self, model_id: str, photo_ids: Ids | None = None
    ) -> Iterator[tuple[Ids, list[StoredPhoto]]]:
        raise NotImplementedError

    def purge(self, deleted_before: datetime) -> tuple[int, ...]:
        """Ids of photos forgotten."""
        raise NotImplementedError
