"""The index of small libraries: every search compares every embedding, exactly."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import AnyIds, Floats, Ids
from photoindex.vectors.base import ABSENT, as_ids, as_rows
from photoindex.vectors.faiss_files import faiss_module, read_index, write_index
from photoindex.vectors.places import Places, bitmap
from photoindex.vectors.products import inner_products


class FlatIndex:
    """Embeddings in full, a row a photo; what is removed makes room for the last rows.

    `kind` is saved with it: a file of another kind is never misread. `lists`: it has none.
    """

    kind = "flat"
    lists = 0

    def __init__(self) -> None:
        self._index: Any = None  # made by the first embeddings, which tell the width
        self._owner: Any = None  # of that, where it was loaded
        self._places = Places()  # the row of each photo
        self._photos: Ids = np.empty(0, dtype=np.int64)  # and the photo of each row

    @classmethod
    def load(cls, file: BinaryIO) -> FlatIndex:
        """What `save` wrote, if its checksum was found right. Raises ValueError, OSError."""
        index = cls()
        faiss, read = faiss_module(), read_index(file)
        if not isinstance(read, faiss.IndexIDMap) or not isinstance(
            faiss.downcast_index(read.index), faiss.IndexFlatIP
        ):
            raise ValueError("it holds another kind of index")
        index._owner, index._index = read, faiss.downcast_index(read.index)
        index._photos = as_ids(faiss.vector_to_array(read.id_map))
        index._places.put(index._photos, np.arange(len(index._photos), dtype=np.int32))
        return index

    def save(self, file: BinaryIO) -> None:
        """Write to an open file; nothing, if it never held anything. Raises OSError."""
        if self._index is not None:
            faiss = faiss_module()
            mapped = faiss.IndexIDMap(faiss.IndexFlatIP(self._index.d))
            mapped.add_with_ids(self._rows(), self._photos)
            write_index(mapped, file)

    def __len__(self) -> int:
        return len(self._places)

    def ids(self) -> Ids:
        """See VectorIndex."""
        return self._places.ids()

    def add(self, ids: AnyIds, embeddings: Floats) -> None:
        """Hold (n, d) float32 embeddings under (n,) ids; an id held already is replaced."""
        given, rows = as_rows(as_ids(ids), embeddings)
        if self._index is None and len(given):
            self._index = faiss_module().IndexFlatIP(rows.shape[1])
        if not len(given):
            return
        if rows.shape[1] != self._index.d:
            raise ValueError(f"embeddings of width {rows.shape[1]}, not {self._index.d}")
        self.remove(given)
        first = len(self)
        self._places.put(given, np.arange(first, first + len(given), dtype=np.int32))
        self._photos = np.concatenate([self._photos, given])
        self._index.add(rows)

    def remove(self, ids: AnyIds) -> int:
        """Drop ids, unknown ones passed over. Returns how many were dropped."""
        gone = self._places.held(as_ids(ids))
        if not len(gone):
            return 0
        rows = self._places.of(gone)
        left = len(self) - len(gone)
        holes = rows[rows < left]
        moved = np.setdiff1d(np.arange(left, len(self), dtype=np.int32), rows)
        table = self._rows()
        table[holes] = table[moved]
        self._photos[holes] = self._photos[moved]
        self._places.drop(gone)
        self._places.put(self._photos[holes], holes)
        self._photos = self._photos[:left].copy()
        self._index.remove_ids(faiss_module().IDSelectorRange(left, left + len(gone)))
        return len(gone)

    def search(self, queries: Floats, k: int, within: AnyIds | None = None) -> tuple[Floats, Ids]:
        """See VectorIndex."""
        return self._places.search(queries, k, within, self._nearest)

    def similarities(self, queries: Floats, ids: AnyIds) -> Floats:
        """See VectorIndex."""
        places = self._places.of(as_ids(ids))
        held = places != ABSENT
        table = np.full((len(queries), len(places)), -np.inf, dtype=np.float32)
        if held.any():
            table[:, held] = inner_products(queries, self._rows()[places[held]])
        return table

    estimates = similarities

    def embeddings(self, ids: AnyIds) -> Floats:
        """See VectorIndex."""
        asked = as_ids(ids)
        places = self._places.of(asked)
        if (places == ABSENT).any():
            raise KeyError(int(asked[places == ABSENT][0]))
        return np.asarray(self._rows()[places], dtype=np.float32)

    def _nearest(self, queries: Floats, most: int, allowed: Ids | None) -> tuple[Floats, Ids]:
        faiss, parameters = faiss_module(), None
        if allowed is not None:
            bits = bitmap(self._places.of(allowed))
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        similarities, rows = self._index.search(queries, most, params=parameters)
        return similarities, self._photos[rows]

    def _rows(self) -> NDArray[np.float32]:
        """(len, d), FAISS's own memory: valid until the next addition."""
        if self._index is None:
            return np.empty((0, 0), dtype=np.float32)
        count, width = self._index.ntotal, self._index.d
        flat = faiss_module().rev_swig_ptr(self._index.get_xb(), count * width)
        return np.asarray(flat).reshape(count, width)
