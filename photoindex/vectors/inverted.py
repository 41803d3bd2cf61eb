"""The index of large libraries: like photos in lists, of which a search reads the nearest."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import AnyIds, Floats, Ids, Progress, no_progress
from photoindex.vectors.base import ABSENT, Exact, as_ids, as_rows
from photoindex.vectors.faiss_files import faiss_module, read_index, write_index
from photoindex.vectors.places import Places, bitmap
from photoindex.vectors.products import inner_products

TRAINING = "sorting photos by likeness"
READ = 200_000
"""Photos that a search compares a query with, as long as there are so many."""
_READ_A_HIT = 32  # and for each that it is to find
_ROUNDS = 8  # of k-means; more does not find more
_MARGIN = 0.1  # that numbers may lie outside the range seen in training


class InvertedIndex:
    """Embeddings at one byte a number, in lists around the centroids of a sample (FAISS: IVF, SQ8).

    A search takes the lists in the order of their centroids' similarity until they hold `read`
    photos. With a filter, only photos and lists that it leaves count, and √share of `read` are
    enough: of the share that it leaves, that is a greater part. So one query misses nothing in
    a library of `read` photos, nor under a filter that leaves read²/len, wherever those lie. Of
    q queries for one thing, √(1/q) of that is enough each. Exact embeddings come from where
    `exact` reads them. `kind` is saved with it: a file of another kind is never misread.
    """

    kind = "inverted"

    def __init__(self, index: Any, exact: Exact, read: int = READ) -> None:
        """index: a trained FAISS IndexIVFScalarQuantizer; `train` and `load` make one."""
        self._index = index
        self._exact = exact
        self._read = read
        self._places = Places()  # the list of each photo
        self._sizes = np.zeros(index.nlist, dtype=np.int64)
        self._centroids = index.quantizer.reconstruct_n(0, index.nlist)
        index.parallel_mode = 1  # cores share the lists of one query, rather than the queries

    @classmethod
    def train(
        cls,
        sample: Floats,
        lists: int,
        exact: Exact,
        progress: Progress = no_progress,
        read: int = READ,
    ) -> InvertedIndex:
        """An empty index for embeddings like the sample's, (n, d), at least one a list."""
        faiss = faiss_module()
        width = sample.shape[1]
        centroids = faiss.IndexFlatIP(width)
        clustering = faiss.Clustering(width, lists)
        clustering.spherical = True
        clustering.niter = 1
        clustering.min_points_per_centroid = 1
        clustering.max_points_per_centroid = len(sample)  # all of them
        assigning = _on_gpus(faiss, centroids)
        for done in range(_ROUNDS):  # goes on from the centroids it has
            progress(TRAINING, done, _ROUNDS)
            clustering.train(sample, assigning)
        progress(TRAINING, _ROUNDS, _ROUNDS)
        centroids.reset()
        centroids.add(faiss.vector_to_array(clustering.centroids).reshape(lists, width))
        index = faiss.IndexIVFScalarQuantizer(
            centroids,
            width,
            lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,  # codes of embeddings, not of what they differ from their centroid
        )
        index.sq.rangestat_arg = _MARGIN
        index.train(sample)  # finds the centroids there
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        return cls(index, exact, read)

    @classmethod
    def load(cls, file: BinaryIO, exact: Exact, read: int = READ) -> InvertedIndex:
        """What `save` wrote, if its checksum was found right. Raises ValueError, OSError."""
        faiss, index = faiss_module(), read_index(file)
        if not isinstance(index, faiss.IndexIVFScalarQuantizer):
            raise ValueError("it holds another kind of index")
        loaded = cls(index, exact, read)
        for number in range(index.nlist):
            count = index.invlists.list_size(number)
            if count:
                ids = np.array(faiss.rev_swig_ptr(index.invlists.get_ids(number), count))
                loaded._note(ids, np.full(count, number, dtype=np.int32))
        return loaded

    def save(self, file: BinaryIO) -> None:
        """Write to an open file. Raises OSError."""
        write_index(self._index, file)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return len(self._sizes)

    def __len__(self) -> int:
        return len(self._places)

    def ids(self) -> Ids:
        """See VectorIndex."""
        return self._places.ids()

    def add(self, ids: AnyIds, embeddings: Floats) -> None:
        """Hold (n, d) float32 embeddings under (n,) ids; an id held already is replaced."""
        faiss = faiss_module()
        given, rows = as_rows(as_ids(ids), embeddings)
        if not len(given):
            return
        if rows.shape[1] != self._index.d:
            raise ValueError(f"embeddings of width {rows.shape[1]}, not {self._index.d}")
        self.remove(given)
        nearest = np.ascontiguousarray(self._index.quantizer.search(rows, 1)[1][:, 0])
        self._note(given, nearest.astype(np.int32))
        self._index.add_core(
            len(given), faiss.swig_ptr(rows), faiss.swig_ptr(given), faiss.swig_ptr(nearest)
        )

    def remove(self, ids: AnyIds) -> int:
        """Drop ids, unknown ones passed over. Returns how many were dropped."""
        gone = self._places.held(as_ids(ids))
        if len(gone):
            self._sizes -= np.bincount(self._places.of(gone), minlength=self.lists)
            self._places.drop(gone)
            self._index.remove_ids(faiss_module().IDSelectorArray(gone))
        return len(gone)

    def search(self, queries: Floats, k: int, within: AnyIds | None = None) -> tuple[Floats, Ids]:
        """See VectorIndex."""
        return self._places.search(queries, k, within, self._nearest)

    def estimates(self, queries: Floats, ids: AnyIds) -> Floats:
        """See VectorIndex."""
        given = as_ids(ids)
        held = self._places.of(given) != ABSENT
        table = np.full((len(queries), len(given)), -np.inf, dtype=np.float32)
        if held.any():
            rows = self._index.reconstruct_batch(np.ascontiguousarray(given[held]))
            table[:, held] = inner_products(queries, rows)
        return table

    def similarities(self, queries: Floats, ids: AnyIds) -> Floats:
        """See VectorIndex. A photo that is gone where exact embeddings are read is not held."""
        given = as_ids(ids)
        table = np.full((len(queries), len(given)), -np.inf, dtype=np.float32)
        there, rows = self._exact(self._places.held(given))
        if len(there):
            row = np.searchsorted(there, given).clip(max=len(there) - 1)
            held = there[row] == given
            table[:, held] = inner_products(queries, rows[row[held]])
        return table

    def embeddings(self, ids: AnyIds) -> Floats:
        """See VectorIndex."""
        given = as_ids(ids)
        there, rows = self._exact(self._places.held(given))
        missing = np.setdiff1d(given, there)
        if len(missing):
            raise KeyError(int(missing[0]))
        return np.asarray(rows[np.searchsorted(there, given)], dtype=np.float32)

    def _nearest(self, queries: Floats, most: int, allowed: Ids | None) -> tuple[Floats, Ids]:
        faiss, chosen = faiss_module(), {}
        sizes = self._sizes
        if allowed is not None:
            sizes = np.bincount(self._places.of(allowed), minlength=self.lists)
            photos = bitmap(allowed)
            chosen["sel"] = faiss.IDSelectorBitmap(photos)
        lists = bitmap(np.flatnonzero(sizes))
        read = self._read * np.sqrt(sizes.sum() / len(self) / len(queries))
        parameters = faiss.SearchParametersIVF(
            nprobe=self._probed(queries, sizes, max(int(read), _READ_A_HIT * most)),
            quantizer_params=faiss.SearchParameters(sel=faiss.IDSelectorBitmap(lists)),
            **chosen,
        )  # which keeps the selectors alive; the bitmaps stay here
        similarities, ids = self._index.search(queries, most, params=parameters)
        return np.where(ids == ABSENT, -np.inf, similarities), ids

    def _note(self, ids: Ids, lists: NDArray[np.int32]) -> None:
        self._places.put(ids, lists)
        self._sizes += np.bincount(lists, minlength=self.lists)

    def _probed(self, queries: Floats, sizes: NDArray[np.int64], wanted: int) -> int:
        """How many lists must be read until they hold so many photos, for every query.

        sizes: (lists,) photos that may be found in each; those without any are passed over.
        """
        used = int(np.count_nonzero(sizes))
        if sizes.sum() <= wanted:
            return used
        near = np.where(sizes > 0, inner_products(queries, self._centroids), -np.inf)
        held = np.cumsum(sizes[np.argsort(-near, axis=1)], axis=1)
        return min(used, int((held < wanted).sum(axis=1).max()) + 1)


def _on_gpus(faiss: Any, index: Any) -> Any:
    """The same index on the GPUs that FAISS has, if any: training is what pays there."""
    return faiss.index_cpu_to_all_gpus(index) if faiss.get_num_gpus() else index
