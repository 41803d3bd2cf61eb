"""The vector index as one process holds it: read again only when the analyses have changed."""

from __future__ import annotations

import threading
from pathlib import Path

from photoindex.tagger import Progress, no_progress
from photoindex.vectors.base import VectorIndex
from photoindex.vectors.cache import EmbeddingSource, VectorCache


class HeldVectors:
    """At most one model's index in memory: two at once may be more than there is."""

    def __init__(self, folder: Path, source: EmbeddingSource) -> None:
        self._folder = folder
        self._source = source
        self._held: tuple[str, int, VectorIndex] | None = None  # model, generation, index
        self._lock = threading.Lock()

    def of(self, model_id: str, progress: Progress = no_progress) -> VectorIndex:
        """The index of one model's embeddings as the catalog has them now.

        The files of other models are deleted where it is made again: ask for the active one's.
        """
        with self._lock:
            now = (model_id, self._source.state(model_id).generation)
            if self._held is None or self._held[:2] != now:
                self._held = None
                self._held = (*now, self._cache(model_id, model_id).open(model_id, progress))
            return self._held[2]

    def refresh(self, model_id: str, active: str | None, progress: Progress = no_progress) -> None:
        """Bring the index on disk up to date with the catalog; nothing is loaded if it is.

        The files of models that are neither this one nor the active one are deleted then: they can
        be made again.
        """
        cache = self._cache(model_id, active)
        if not cache.is_current(model_id):
            cache.open(model_id, progress)

    def _cache(self, model_id: str, active: str | None) -> VectorCache:
        kept = {model_id, active} if active is not None else {model_id}
        return VectorCache(self._folder, self._source, kept)
