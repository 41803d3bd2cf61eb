"""Concepts in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from photoindex.catalog.records import *  # noqa: F403
from photoindex.photo import *  # noqa: F403
from photoindex.tagger import *  # noqa: F403


class Concepts:
    def add(self, concepts: Sequence[NewConcept]) -> None:
        """All in one transaction."""
        raise NotImplementedError

    def all(self) -> tuple[ConceptRecord, ...]:
        raise NotImplementedError

    def get(self, name: str) -> ConceptRecord | None:
        raise NotImplementedError

    def remove(self, name: str) -> bool:
        raise NotImplementedError

    def set_threshold(self, name: str, threshold: float) -> bool:
        raise NotImplementedError

    def embeddings(self, model_id: str) -> ConceptEmbeddings | None:
        """None: no concept has embeddings of that model."""
        raise NotImplementedError

    def without_embeddings(self, model_id: str) -> tuple[Concept, ...]:
        """To be embedded and scored after a change of model."""
        raise NotImplementedError

    def unscored(self, model_id: str) -> dict[int, Ids]:
        """Concept id -> photos recorded without it (added while a run was on)."""
        raise NotImplementedError

    def score(self, concept_id: int, model_id: str, photo_ids: Ids, probabilities: Floats) -> None:
        """Fills those in."""
        raise NotImplementedError
