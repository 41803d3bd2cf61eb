"""Models in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from photoindex.catalog.records import *  # noqa: F403
from photoindex.photo import *  # noqa: F403
from photoindex.tagger import *  # noqa: F403


class Models:
    def register(
        self, model_id: str, name: str, embedding_size: int, vocabulary: Sequence[TagName]
    ) -> None:
        """No-op when known."""
        raise NotImplementedError

    def activate(self, model_id: str) -> None:
        raise NotImplementedError

    def active(self) -> ModelRecord | None:
        raise NotImplementedError

    def all(self) -> tuple[ModelRecord, ...]:
        raise NotImplementedError
