"""Where an index keeps each photo: a table by photo id, so that no look-up searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import AnyIds, Floats, Ids
from photoindex.vectors.base import ABSENT, as_ids

_LARGEST = (1 << 31) - 1

Nearest = Callable[[Floats, int, Ids | None], tuple[Floats, Ids]]
"""Gives the `most` nearest of (queries, most, allowed): similarities and ids, both (q, most).

There are as many; allowed: ids that are held, ascending, None where all of them are.
"""


class Places:
    """A number (a row, a list) for each photo that is held; 4 bytes for each id ever given.

    The catalog numbers photos from 1 on and gives no number twice, so the table stays dense.
    """

    def __init__(self) -> None:
        self._table = np.empty(0, dtype=np.int32)
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def ids(self) -> Ids:
        """(len,) int64, ascending."""
        return np.asarray(np.flatnonzero(self._table != ABSENT), dtype=np.int64)

    def of(self, ids: Ids) -> NDArray[np.int32]:
        """(n,) where each photo is, `ABSENT` for those that are not held."""
        known = (ids >= 0) & (ids < len(self._table))
        if known.all():
            return self._table[ids]
        places = np.full(len(ids), ABSENT, dtype=np.int32)
        places[known] = self._table[ids[known]]
        return places

    def held(self, ids: Ids) -> Ids:
        """Those of the ids that are held, each once, ascending."""
        held = ids[self.of(ids) != ABSENT]
        if len(held) < len(self._table) // 16:
            return np.unique(held)
        flags = np.zeros(len(self._table), dtype=bool)  # many are not worth sorting
        flags[held] = True
        return np.asarray(np.flatnonzero(flags), dtype=np.int64)

    def search(
        self, queries: Floats, k: int, within: AnyIds | None, nearest: Nearest
    ) -> tuple[Floats, Ids]:
        """What `VectorIndex.search` returns, by an index that finds what is held and asked for."""
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        similarities = np.full((len(asked), k), -np.inf, dtype=np.float32)
        found = np.full((len(asked), k), ABSENT, dtype=np.int64)
        allowed = self._among(within)
        most = min(k, len(self) if allowed is None else len(allowed))
        if most >= 1 and len(asked):
            similarities[:, :most], found[:, :most] = nearest(asked, most, allowed)
        return similarities, found

    def put(self, ids: Ids, places: NDArray[np.int32]) -> None:
        """Say where photos are, each id once. Raises ValueError for what can be no photo's id."""
        if not len(ids):
            return
        if ids.min() < 0 or ids.max() > _LARGEST:
            raise ValueError(f"ids from {ids.min()} to {ids.max()}: photos have smaller ones")
        if ids.max() >= len(self._table):
            table = np.full(max(int(ids.max()) + 1, len(self._table) * 3 // 2), ABSENT, np.int32)
            table[: len(self._table)] = self._table
            self._table = table
        self._held += int(np.count_nonzero(self._table[ids] == ABSENT))
        self._table[ids] = places

    def drop(self, ids: Ids) -> None:
        """Forget photos that are held, each id once."""
        self._table[ids] = ABSENT
        self._held -= len(ids)

    def _among(self, ids: AnyIds | None) -> Ids | None:
        """The photos that a search may find: all of them (None), or those held of some ids."""
        held = None if ids is None else self.held(as_ids(ids))
        return None if held is None or len(held) == len(self) else held


def bitmap(numbers: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """One bit a number, the lowest first, set for those given (at least one, none negative)."""
    flags = np.zeros(int(numbers.max()) + 1, dtype=bool)
    flags[numbers] = True
    return np.packbits(flags, bitorder="little")
