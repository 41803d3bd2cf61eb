"""Each kind of index over a few made embeddings, whose exact ones are kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from photoindex.tagger import Floats, Ids
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.growth import AnyIndex
from photoindex.vectors.inverted import READ, InvertedIndex

WIDTH = 4
ROUNDING = 0.02
"""What estimates may miss by, at one byte a number and four numbers."""


def unit(count: int, seed: int = 0, width: int = WIDTH) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@dataclass
class Stored:
    """Embeddings by photo id: the truth, and what an index reads exact ones from."""

    rows: dict[int, Floats] = field(default_factory=dict)

    def exact(self, ids: Ids) -> tuple[Ids, Floats]:
        there = [one for one in sorted(set(ids.tolist())) if one in self.rows]
        rows = [self.rows[one] for one in there]
        return np.array(there, dtype=np.int64), np.array(rows, dtype=np.float32)

    def add(self, index: AnyIndex, ids: Iterable[int], rows: Floats) -> None:
        given = list(ids)
        index.add(given, rows)
        self.rows.update(zip(given, rows, strict=True))

    def remove(self, index: AnyIndex, ids: Iterable[int]) -> None:
        there = {one for one in ids if one in self.rows}
        assert index.remove(list(ids)) == len(there)
        for one in there:
            del self.rows[one]


def flat(_stored: Stored) -> FlatIndex:
    return FlatIndex()


def inverted(stored: Stored, lists: int = 5, read: int = READ) -> InvertedIndex:
    corners = np.concatenate([np.eye(WIDTH), -np.eye(WIDTH)]).astype(np.float32)
    sample = np.concatenate([corners, unit(64, 5)])
    return InvertedIndex.train(sample, lists, stored.exact, read=read)


KINDS: tuple[Callable[[Stored], AnyIndex], ...] = (flat, inverted)
