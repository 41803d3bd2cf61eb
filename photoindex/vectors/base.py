"""What a vector index is: embeddings by photo id, found by cosine similarity."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from photoindex.tagger import AnyIds, Floats, Ids

ABSENT = -1
"""The id that stands where there are fewer photos than were asked for."""


class VectorIndex(Protocol):
    """Embeddings of unit length by photo id; similarity is their inner product, the cosine.

    Several threads may search at once; changing it is for one thread alone.
    """

    def __len__(self) -> int: ...

    def add(self, ids: AnyIds, embeddings: Floats) -> None:
        """Hold (n, d) float32 embeddings under (n,) ids; an id held already is replaced."""
        ...

    def remove(self, ids: AnyIds) -> int:
        """Drop ids, unknown ones passed over. Returns how many were dropped."""
        ...

    def ids(self) -> Ids:
        """(len,) int64, in no particular order."""
        ...

    def search(self, queries: Floats, k: int, within: AnyIds | None = None) -> tuple[Floats, Ids]:
        """The k most similar photos of each query, the most similar first.

        queries: (q, d) float32; within: look only among these ids, None for all.
        Returns similarities (q, k) float32 and ids (q, k) int64; where there are fewer than k,
        the rest is -inf and `ABSENT`.
        """
        ...

    def similarities(self, queries: Floats, ids: AnyIds) -> Floats:
        """(q, n) float32 exact similarities; -1, the least there is, for ids not held."""
        ...

    def embeddings(self, ids: AnyIds) -> Floats:
        """(n, d) float32 as they were added. Raises KeyError for an id not held."""
        ...

    def save(self, path: Path) -> None:
        """Write to a file. Raises OSError."""
        ...
