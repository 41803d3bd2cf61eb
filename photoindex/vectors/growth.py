"""Which index a library of some size gets, and when it has outgrown the one it has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import BinaryIO

from photoindex.vectors.base import Exact
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.inverted import READ, InvertedIndex

AnyIndex = FlatIndex | InvertedIndex


@dataclass(frozen=True, slots=True)
class Growth:
    """Sizes from which things change.

    flat: the most photos that are compared one by one, in full; lists_a_root: lists for each unit
    of the square root of the number of photos, beyond that; sample_a_list: photos that each list
    is learned from; read: photos that a search reads (see InvertedIndex).
    """

    flat: int = 50_000
    lists_a_root: float = 4.0
    sample_a_list: int = 40
    read: int = READ

    def lists(self, photos: int) -> int:
        """How many lists suit so many photos; 0 where a flat index does."""
        if photos <= self.flat:
            return 0
        return max(1, min(photos, round(self.lists_a_root * math.sqrt(photos))))

    def outgrown(self, index: AnyIndex) -> bool:
        """Whether it is time to begin anew: a flat index too large, or photos four times as many
        as when the lists were made.
        """
        lists = self.lists(len(index))
        return lists > 0 and lists >= 2 * index.lists

    def load(self, kind: str, file: BinaryIO, exact: Exact) -> AnyIndex:
        """An index from an open file whose checksum was found right. Raises ValueError, OSError."""
        if kind == FlatIndex.kind:
            return FlatIndex.load(file)
        if kind == InvertedIndex.kind:
            return InvertedIndex.load(file, exact, self.read)
        raise ValueError(f"it is of an unknown kind, {kind}")
