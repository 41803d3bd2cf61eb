"""Exact search in FAISS. The only file that imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from photoindex.errors import LibraryError
from photoindex.tagger import AnyIds, Floats, Ids
from photoindex.vectors.base import ABSENT


class FaissIndex:
    """A flat inner-product index with ids of its own: every search compares every embedding.

    That takes about 50 ms a query for 200,000 photos on one core: nothing approximate is needed.
    `kind` is saved with it: a file of another kind is built again, never misread.
    """

    kind = "flat"

    def __init__(self) -> None:
        self._index: Any = None  # made by the first embeddings, which tell the width

    @classmethod
    def load(cls, path: Path) -> FaissIndex:
        """What `save` wrote, if its checksum was found right. Raises ValueError, OSError.

        FAISS trusts what it reads, down to the sizes of arrays: a damaged file may crash it.
        """
        faiss = _faiss()
        index = cls()
        with path.open("rb") as file:
            try:
                index._index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
            except RuntimeError as error:
                raise ValueError(f"FAISS cannot read {path.name}") from error
        if not isinstance(index._index, faiss.IndexIDMap2):
            raise ValueError(f"{path.name} holds another kind of index")
        return index

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    def add(self, ids: AnyIds, embeddings: Floats) -> None:
        """See VectorIndex. Of an id given twice, the last counts."""
        faiss = _faiss()
        given = _as_ids(ids)
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(given):
            raise ValueError(f"{len(given)} ids for embeddings of shape {rows.shape}")
        if not len(given):
            return
        _, from_end = np.unique(given[::-1], return_index=True)
        last = len(given) - 1 - from_end
        if len(last) < len(given):
            last.sort()
            given, rows = given[last], np.ascontiguousarray(rows[last])
        self.remove(given)
        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(rows.shape[1]))
        if rows.shape[1] != self._index.d:
            raise ValueError(f"embeddings of width {rows.shape[1]}, not {self._index.d}")
        self._index.add_with_ids(rows, given)

    def remove(self, ids: AnyIds) -> int:
        """See VectorIndex."""
        held = self._held(_as_ids(ids))
        if not held.any():
            return 0
        return int(self._index.remove_ids(_faiss().IDSelectorBatch(_as_ids(ids)[held])))

    def ids(self) -> Ids:
        """See VectorIndex."""
        if self._index is None:
            return np.empty(0, dtype=np.int64)
        return np.asarray(_faiss().vector_to_array(self._index.id_map), dtype=np.int64)

    def search(self, queries: Floats, k: int, within: AnyIds | None = None) -> tuple[Floats, Ids]:
        """See VectorIndex."""
        rows = np.ascontiguousarray(queries, dtype=np.float32)
        similarities = np.full((len(rows), k), -np.inf, dtype=np.float32)
        found = np.full((len(rows), k), ABSENT, dtype=np.int64)
        allowed = None if within is None else _as_ids(within)
        most = min(k, len(self) if allowed is None else len(allowed))
        if most < 1 or not len(self) or not len(rows):
            return similarities, found
        faiss = _faiss()
        parameters = None
        if allowed is not None:
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(allowed))
        near, ids = self._index.search(rows, most, params=parameters)
        similarities[:, :most] = np.where(ids == ABSENT, -np.inf, near)
        found[:, :most] = ids
        return similarities, found

    def similarities(self, queries: Floats, ids: AnyIds) -> Floats:
        """See VectorIndex."""
        rows = np.asarray(queries, dtype=np.float32)
        asked = _as_ids(ids)
        held = self._held(asked)
        table = np.full((len(rows), len(asked)), -1.0, dtype=np.float32)
        if held.any():
            table[:, held] = rows @ self._index.reconstruct_batch(asked[held]).T
        return table

    def embeddings(self, ids: AnyIds) -> Floats:
        """See VectorIndex."""
        asked = _as_ids(ids)
        missing = asked[~self._held(asked)]
        if len(missing):
            raise KeyError(int(missing[0]))
        if not len(asked):
            return np.empty((0, 0 if self._index is None else self._index.d), dtype=np.float32)
        return np.asarray(self._index.reconstruct_batch(asked), dtype=np.float32)

    def save(self, path: Path) -> None:
        """See VectorIndex. Nothing is written of an index that never held anything."""
        faiss = _faiss()
        with path.open("wb") as file:
            if self._index is not None:
                # Through Python's file: FAISS takes no path that is not UTF-8.
                blob = faiss.PyCallbackIOWriter(file.write)
                try:
                    faiss.write_index(self._index, blob)
                except RuntimeError as error:
                    raise OSError(f"FAISS cannot write {path}: {error}") from error

    def _held(self, ids: Ids) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.isin(ids, self.ids())


def _as_ids(ids: AnyIds) -> Ids:
    return np.ascontiguousarray(ids, dtype=np.int64)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise LibraryError(
            "FAISS cannot be loaded: install either faiss-cpu or faiss-gpu, not both"
            " (docs/how-to/gpu.md)"
        ) from error
    return faiss
