"""What a vector index is to a search: embeddings by photo id, found by cosine similarity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from photoindex.tagger import AnyIds, Floats, Ids

ABSENT = -1
"""The id that stands where there are fewer photos than were asked for."""

Exact = Callable[[Ids], tuple[Ids, Floats]]
"""Gives the embeddings of those of some photos that there are: ids (n,) ascending, (n, d)."""


class VectorIndex(Protocol):
    """Embeddings of unit length by photo id; similarity is their inner product, the cosine.

    An index that holds embeddings in short form answers `search` and `estimates` by that, within
    about a thousandth. Several threads may search at once while none changes it.
    """

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """(len,) int64, ascending."""
        ...

    def search(self, queries: Floats, k: int, within: AnyIds | None = None) -> tuple[Floats, Ids]:
        """The k most similar photos of each query, the most similar first.

        queries: (q, d) float32, ways of asking for one thing, so what one misses another may find;
        within: look only among these ids, None for all.
        Returns similarities (q, k) float32 and ids (q, k) int64; where there are fewer than k,
        the rest is -inf and `ABSENT`.
        """
        ...

    def estimates(self, queries: Floats, ids: AnyIds) -> Floats:
        """(q, n) float32 similarities as the index holds them, quickly; -inf for ids not held."""
        ...

    def similarities(self, queries: Floats, ids: AnyIds) -> Floats:
        """(q, n) float32 exact similarities; -inf for ids not held."""
        ...

    def embeddings(self, ids: AnyIds) -> Floats:
        """(n, d) float32 as they were added. Raises KeyError for an id not held."""
        ...


def as_ids(ids: AnyIds) -> Ids:
    """(n,) int64 in one piece."""
    return np.ascontiguousarray(ids, dtype=np.int64)


def as_rows(ids: Ids, embeddings: Floats) -> tuple[Ids, Floats]:
    """What is to be added, each id once: of an id given twice, the last counts.

    Raises ValueError where there is not one embedding an id.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(ids):
        raise ValueError(f"{len(ids)} ids for embeddings of shape {rows.shape}")
    _, from_end = np.unique(ids[::-1], return_index=True)
    if len(from_end) == len(ids):
        return ids, rows
    last = np.sort(len(ids) - 1 - from_end)
    return ids[last], np.ascontiguousarray(rows[last])
