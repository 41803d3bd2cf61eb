"""Vector search beside the text encoder and the decoder: from a text's embeddings to candidates.

The library is made (see clip_like.py) and goes straight into the index; the exact embeddings of
the shortlist come from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from clip_like import ClipLike
from figures import Bench, Figure, median_seconds

from photoindex.search.candidates import find_candidates, reweighted
from photoindex.search.relevance import NoiseFloor
from photoindex.tagger import AnyIds, Floats, Ids, LabelEmbeddings
from photoindex.vectors.base import VectorIndex
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.growth import AnyIndex, Growth
from photoindex.vectors.index_file import size_and_checksum
from photoindex.vectors.inverted import InvertedIndex

SIZES = (10_000, 100_000, 1_000_000)
_QUERIES = 100
_UNLIKE = 2.0  # times as far from their mean: descriptions of cosine 0.7
_FILTERED, _PLAIN = 40, 9  # of them, with a filter; and timed on the flat index
_DESCRIPTIONS = 6  # as many as there are prompt templates
_BLOCK = 4096  # embeddings added at a time, as the catalog gives them
_TOP = 10
_NONE: Ids = np.empty(0, dtype=np.int64)


def measure(bench: Bench) -> Iterator[Figure]:
    for photos in SIZES:
        if photos <= bench.photos:
            bench.log(f"vectors: {photos:,} photos")
            yield from _Measured(bench, photos).figures()


class _Measured:
    """One size of library: the index it gets by itself, beside a flat one of the same photos."""

    def __init__(self, bench: Bench, photos: int) -> None:
        self.library = ClipLike.draw(photos)
        self.part = f"vectors {photos:,}"
        self.file = bench.folder / f"vectors-{photos}.faiss"
        self.queries = {
            "text": [_label(rows) for rows in self.library.texts(_QUERIES, _DESCRIPTIONS, 1)],
            "text in unlike words": [
                _label(rows) for rows in self.library.texts(_QUERIES, _DESCRIPTIONS, 2, _UNLIKE)
            ],
            "picture": [_label(row[None]) for row in self.library.pictures(_QUERIES, 1)],
        }

    def figures(self) -> Iterator[Figure]:
        started = time.perf_counter()
        index = self._grown()
        took, flat = time.perf_counter() - started, FlatIndex()
        started = time.perf_counter()
        self._fill(flat)
        plain = time.perf_counter() - started
        yield self._figure(f"build ({index.kind})", took, "s", plain)
        bytes_a_photo, opening = self._kept(index)
        flat_bytes, flat_opening = self._kept(flat)
        yield self._figure("file", bytes_a_photo, "bytes/photo", flat_bytes)
        yield self._figure("cold open", 1e3 * opening, "ms", 1e3 * flat_opening)
        yield from self._changes(index, flat)
        for kind, labels in self.queries.items():
            similarities = self._similarities(labels)
            yield from self._searches(index, flat, kind, labels, similarities)
            for name, within in self._filters() if kind == "text" else ():
                some = labels[:_FILTERED]
                yield from self._searches(index, flat, f"{kind}{name}", some, similarities, within)
        yield self._noise(index, flat)

    def _grown(self) -> AnyIndex:
        """The index that a library of this size gets by itself."""
        growth, count = Growth(), len(self.library.ids)
        lists = growth.lists(count)
        index: AnyIndex = FlatIndex()
        if lists:
            step = max(1, count // (lists * growth.sample_a_list))
            sample = np.ascontiguousarray(self.library.embeddings[::step])
            index = InvertedIndex.train(sample, lists, self._exact)
        self._fill(index)
        return index

    def _fill(self, index: AnyIndex) -> None:
        for at in range(0, len(self.library.ids), _BLOCK):
            block = slice(at, at + _BLOCK)
            index.add(self.library.ids[block], self.library.embeddings[block])

    def _exact(self, photo_ids: Ids) -> tuple[Ids, Floats]:
        return photo_ids, self.library.embeddings[photo_ids - 1]

    def _kept(self, index: AnyIndex) -> tuple[float, float]:
        """(bytes a photo, seconds to check and open it, the file in the system's cache)."""
        with self.file.open("wb") as file:
            index.save(file)
        size = self.file.stat().st_size
        seconds = median_seconds(lambda: _open(self.file, index.kind, self._exact), 3, warm=1)
        self.file.unlink()
        return size / len(index), seconds

    def _changes(self, index: AnyIndex, flat: AnyIndex) -> Iterator[Figure]:
        """Replacing photos: a removal and an addition each."""
        ids = self.library.ids[:: len(self.library.ids) // 64][:64]
        rows = self.library.embeddings[ids - 1]
        one, plain = (
            median_seconds(lambda held=held: held.add(ids, rows), 5) for held in (index, flat)
        )
        yield self._figure("replace a photo, 64 at a time", 1e3 * one / 64, "ms", 1e3 * plain / 64)

    def _searches(
        self,
        index: AnyIndex,
        flat: AnyIndex,
        what: str,
        labels: list[LabelEmbeddings],
        similarities: Floats,
        within: Ids | None = None,
    ) -> Iterator[Figure]:
        seconds, found = _timed(labels, lambda label: _ranked(label, index, within))
        plain, _ = _timed(labels[:_PLAIN], lambda label: _ranked(label, flat, within))
        allowed = self.library.ids if within is None else within
        shared = [
            len(np.intersect1d(ids, _best(row, allowed))) / min(_TOP, len(allowed))
            for ids, row in zip(found, similarities, strict=False)
        ]
        wanted = "<= 30 ms" if len(self.library.ids) == SIZES[-1] else ""
        yield self._figure(what, 1e3 * seconds, "ms", 1e3 * plain, wanted)
        recall = float(np.mean(shared))
        yield self._figure(f"{what}: recall@{_TOP}", recall, "", 1.0, ">= 0.98")

    def _similarities(self, labels: list[LabelEmbeddings]) -> Floats:
        """(labels, photos), by comparing every embedding: the truth."""
        table = np.empty((len(labels), len(self.library.ids)), dtype=np.float32)
        for row, label in zip(table, labels, strict=True):
            row[:] = reweighted(label.embeddings @ self.library.embeddings.T, label.embeddings)
        return table

    def _filters(self) -> Iterator[tuple[str, Ids]]:
        rng = np.random.default_rng(7)
        for share in (0.5, 0.1, 0.01, 0.001):
            chosen = rng.random(len(self.library.ids)) < share
            yield f", filter leaves {100 * share:g} %", self.library.ids[chosen]
        common = np.bincount(self.library.subject).argmax()
        shown = self.library.ids[self.library.subject == common]
        yield f", filter leaves one subject ({len(shown):,} photos)", shown

    def _noise(self, index: VectorIndex, flat: VectorIndex) -> Figure:
        """How far estimates move a noise floor, in its own deviations, at worst."""
        moved = []
        sample = self.library.ids[:: max(1, len(self.library.ids) // 2000)]
        for label in self.queries["text"]:
            floors = [
                NoiseFloor.of_similarities(
                    reweighted(held.estimates(label.embeddings, sample), label.embeddings)
                )
                for held in (index, flat)
            ]
            moved.append(abs(floors[0].median - floors[1].median) / floors[1].deviation)
        return self._figure("noise floor moved by estimates, at most", max(moved), "deviations", 0)

    def _figure(
        self, what: str, value: float, unit: str, baseline: float, wanted: str = ""
    ) -> Figure:
        return Figure(self.part, what, value, unit, baseline, "flat, exact", wanted)


def _label(rows: Floats) -> LabelEmbeddings:
    return LabelEmbeddings(("",), rows, np.array([len(rows)], dtype=np.int64))


def _best(similarities: Floats, allowed: Ids) -> Ids:
    """The most similar of the photos that a filter leaves, whose ids begin with 1."""
    values = similarities[allowed - 1]
    most = min(_TOP, len(allowed) - 1)
    return np.asarray(allowed[np.argpartition(-values, most)[:_TOP]])


def _ranked(label: LabelEmbeddings, index: VectorIndex, within: AnyIds | None) -> Ids:
    found = find_candidates(label, index, None if within is None else np.asarray(within), _NONE)
    return np.asarray(found.ids[np.argsort(-found.similarities)[:_TOP]])


def _timed(
    labels: list[LabelEmbeddings], work: Callable[[LabelEmbeddings], Ids]
) -> tuple[float, list[Ids]]:
    """(the median time of a query, what each found)."""
    times, found = [], []
    work(labels[0])
    for label in labels:
        started = time.perf_counter()
        found.append(work(label))
        times.append(time.perf_counter() - started)
    return float(np.median(times)), found


def _open(path: Path, kind: str, exact: Callable[[Ids], tuple[Ids, Floats]]) -> None:
    with path.open("rb", buffering=0) as file:
        size_and_checksum(file)
        file.seek(0)
        Growth().load(kind, file, exact)
