"""Both kinds of index answer what NumPy answers, whatever was added, replaced and removed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, ROUNDING, WIDTH, Stored, flat, inverted, unit

from photoindex.vectors.base import ABSENT
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.growth import AnyIndex, Growth
from photoindex.vectors.inverted import InvertedIndex

IDS = st.lists(st.integers(1, 40), max_size=30)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "reload"]), IDS, st.integers(0, 99)),
    max_size=8,
)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
Kind = Callable[[Stored], AnyIndex]


def reloaded(index: AnyIndex, stored: Stored) -> AnyIndex:
    if isinstance(index, FlatIndex) and not len(index.ids()):
        return index  # its file may be empty
    file = io.BytesIO()
    index.save(file)
    file.seek(0)
    return Growth().load(index.kind, file, stored.exact)


def played(kind: Kind, steps: list[tuple[str, list[int], int]]) -> tuple[AnyIndex, Stored]:
    stored = Stored()
    index = kind(stored)
    for what, ids, seed in steps:
        if what == "add":
            stored.add(index, ids, unit(len(ids), seed))
        elif what == "remove":
            stored.remove(index, ids)
        else:
            index = reloaded(index, stored)
    return index, stored


@kinds
@settings(max_examples=80, deadline=None)
@given(steps=STEPS, within=st.none() | IDS, k=st.integers(0, 45))
def test_it_agrees_with_numpy(
    kind: Kind, steps: list[tuple[str, list[int], int]], within: list[int] | None, k: int
) -> None:
    index, stored = played(kind, steps)
    truth, off = stored.rows, 1e-5 if kind is flat else ROUNDING
    assert len(index) == len(truth) and index.ids().tolist() == sorted(truth)
    queries = unit(2, 1000)
    allowed = [one for one in truth if within is None or one in within]
    similarities, found = index.search(queries, k, within)
    assert similarities.shape == found.shape == (2, k) and found.dtype == np.int64
    for row, query in enumerate(queries):
        expected = sorted((float(query @ truth[one]) for one in allowed), reverse=True)[:k]
        hits = found[row, : len(expected)].tolist()
        assert set(hits) <= set(allowed) and len(set(hits)) == len(hits)
        assert np.allclose(similarities[row, : len(expected)], expected, atol=off)
        assert np.allclose([query @ truth[one] for one in hits], expected, atol=2 * off)
        assert (found[row, len(expected) :] == ABSENT).all()
        assert (similarities[row, len(expected) :] == -np.inf).all()
    asked = list(range(45))
    exact, estimates = index.similarities(queries, asked), index.estimates(queries, asked)
    for column, one in enumerate(asked):
        expected_one = queries @ truth[one] if one in truth else [-np.inf, -np.inf]
        assert np.allclose(exact[:, column], expected_one, atol=1e-5)
        assert np.allclose(estimates[:, column], expected_one, atol=off)
    assert np.array_equal(index.embeddings(list(truth)), list(truth.values())) or not truth


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, within=st.none() | IDS, k=st.integers(1, 5), read=st.integers(1, 20))
def test_a_search_that_reads_some_lists_finds_only_what_it_may(
    steps: list[tuple[str, list[int], int]], within: list[int] | None, k: int, read: int
) -> None:
    index, stored = played(lambda stored: inverted(stored, read=read), steps)
    queries = unit(3, 1000)
    allowed = {one for one in stored.rows if within is None or one in within}
    similarities, found = index.search(queries, k, within)
    for query, near, hits in zip(queries, similarities, found, strict=True):
        there = hits != ABSENT
        assert there.sum() == min(k, len(allowed))  # it reads on until there are enough
        assert set(hits[there].tolist()) <= allowed
        for one, similarity in zip(hits[there].tolist(), near[there], strict=True):
            assert abs(float(query @ stored.rows[one]) - similarity) < ROUNDING


def scattered(photos: int, read: int) -> tuple[InvertedIndex, np.ndarray, np.ndarray]:
    """An index of photos around 40 subjects, their embeddings, the subject of each."""
    width, rng = 32, np.random.default_rng(3)
    subject = rng.integers(40, size=photos)
    rows = unit(40, 1, width)[subject] + 0.1 * rng.standard_normal((photos, width))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    stored = Stored(dict(enumerate(rows)))
    index = InvertedIndex.train(rows, 50, stored.exact, read=read)
    index.add(np.arange(photos), rows)
    return index, rows, subject


def test_reading_a_fifth_finds_nearly_everything() -> None:
    index, rows, _ = scattered(5000, read=1000)
    queries = rows[::100]
    found = np.concatenate([index.search(query[None], 10)[1] for query in queries])
    best = np.argsort(-queries @ rows.T, axis=1)[:, :10]
    shared = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found, best, strict=True)]
    assert sum(shared) >= 0.95 * found.size


def test_a_filter_that_leaves_what_lies_far_away_misses_nothing() -> None:
    index, rows, subject = scattered(5000, read=1000)
    query = rows[subject == 0][:1]
    far = int(np.argmin([float(rows[subject == one].mean(axis=0) @ query[0]) for one in range(40)]))
    allowed = np.flatnonzero(subject == far)
    _, found = index.search(query, 5, allowed)
    best = allowed[np.argsort(-(rows[allowed] @ query[0]))]
    assert set(found[0].tolist()) <= set(best[:8].tolist())


def test_growing_leaves_the_lists_as_they_are() -> None:
    stored = Stored()
    index = inverted(stored)
    for start in range(0, 2000, 100):
        stored.add(index, range(start, start + 100), unit(100, start))
    assert index.lists == 5 and len(index) == 2000


def test_a_photo_gone_from_the_catalog_has_no_similarity() -> None:
    stored = Stored()
    index = inverted(stored)
    stored.add(index, [1, 2], unit(2))
    del stored.rows[2]
    similarities = index.similarities(unit(1), [1, 2])
    assert np.isfinite(similarities[0, 0]) and similarities[0, 1] == -np.inf


@kinds
def test_embeddings_of_unknown_photos_are_an_error(kind: Kind) -> None:
    stored = Stored()
    index = kind(stored)
    stored.add(index, [3], unit(1))
    with pytest.raises(KeyError, match="5"):
        index.embeddings([3, 5])


@kinds
def test_what_does_not_fit_is_refused(kind: Kind) -> None:
    stored = Stored()
    index = kind(stored)
    stored.add(index, [1], unit(1))
    with pytest.raises(ValueError, match="2 ids"):
        index.add([1, 2], unit(1))
    with pytest.raises(ValueError, match="width"):
        index.add([2], np.ones((1, WIDTH + 1), dtype=np.float32))
    with pytest.raises(ValueError, match="ids from -3"):
        index.add([-3], unit(1))
    assert index.ids().tolist() == [1] and len(index) == 1


@pytest.mark.parametrize("kind", ["flat", "inverted", "other"])
def test_a_file_of_something_else_is_refused(kind: str) -> None:
    stored = Stored()
    other = inverted(stored) if kind == "flat" else flat(stored)
    stored.add(other, [1], unit(1))
    file = io.BytesIO()
    other.save(file)
    for content in (file.getvalue(), b"no index"):
        with pytest.raises(ValueError, match=r"kind|cannot read"):
            Growth().load(kind, io.BytesIO(content), stored.exact)


@kinds
@pytest.mark.parametrize("count", [10, 100_000])
def test_a_full_disk_is_an_error_of_the_file(kind: Kind, count: int) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    index = kind(Stored())
    index.add(np.arange(count), unit(count))
    with pytest.raises(OSError, match=r"full|No space"), full.open("wb") as file:
        written_to(index, file)


def written_to(index: AnyIndex, file: BinaryIO) -> None:
    index.save(file)
    file.flush()
