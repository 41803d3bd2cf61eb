"""The index answers what NumPy answers, whatever was added, replaced and removed before."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoindex.vectors.base import ABSENT, VectorIndex
from photoindex.vectors.faiss_index import FaissIndex

WIDTH = 4


def unit(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


IDS = st.lists(st.integers(1, 12), max_size=8)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove"]), IDS, st.integers(0, 99)), max_size=6)


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, within=st.none() | IDS, k=st.integers(0, 15))
def test_it_agrees_with_numpy(
    steps: list[tuple[str, list[int], int]], within: list[int] | None, k: int
) -> None:
    index: VectorIndex = FaissIndex()
    truth: dict[int, np.ndarray] = {}
    for what, ids, seed in steps:
        if what == "add":
            rows = unit(len(ids), seed)
            index.add(ids, rows)
            truth.update(zip(ids, rows, strict=True))
        else:
            dropped = {one for one in ids if one in truth}
            assert index.remove(ids) == len(dropped)
            for one in dropped:
                del truth[one]
    assert len(index) == len(truth) and sorted(index.ids().tolist()) == sorted(truth)
    queries = unit(2, 1000)
    allowed = [one for one in truth if within is None or one in within]
    similarities, found = index.search(queries, k, within)
    assert similarities.shape == found.shape == (2, k) and found.dtype == np.int64
    for row, query in enumerate(queries):
        expected = sorted((float(query @ truth[one]) for one in allowed), reverse=True)[:k]
        assert np.allclose(similarities[row, : len(expected)], expected, atol=1e-5)
        assert set(found[row, : len(expected)].tolist()) <= set(allowed)
        assert (found[row, len(expected) :] == ABSENT).all()
        assert (similarities[row, len(expected) :] == -np.inf).all()
    asked = list(range(1, 13))
    exact = index.similarities(queries, asked)
    for column, one in enumerate(asked):
        expected_one = queries @ truth[one] if one in truth else [-1, -1]
        assert np.allclose(exact[:, column], expected_one, atol=1e-5)


def test_a_saved_index_is_the_same_when_loaded(tmp_path: Path) -> None:
    index = FaissIndex()
    index.add([3, 1, 2], unit(3))
    path = tmp_path / os.fsdecode(b"odd \xff name.faiss")
    index.save(path)
    loaded = FaissIndex.load(path)
    assert np.array_equal(loaded.embeddings([1, 2, 3]), index.embeddings([1, 2, 3]))
    loaded.add([2, 4], unit(2, 7))
    assert len(loaded) == 4


def test_embeddings_of_unknown_photos_are_an_error() -> None:
    index = FaissIndex()
    index.add([3], unit(1))
    with pytest.raises(KeyError, match="5"):
        index.embeddings([3, 5])


def test_what_does_not_fit_is_refused() -> None:
    index = FaissIndex()
    index.add([1], unit(1))
    with pytest.raises(ValueError, match="2 ids"):
        index.add([1, 2], unit(1))
    with pytest.raises(ValueError, match="width"):
        index.add([2], np.ones((1, WIDTH + 1), dtype=np.float32))
    assert index.ids().tolist() == [1]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(b"no index")
    with pytest.raises(ValueError, match="cannot read"):
        FaissIndex.load(path)


@pytest.mark.parametrize("count", [10, 100_000])
def test_a_full_disk_is_an_error_of_the_file(count: int) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    index = FaissIndex()
    index.add(np.arange(count), np.zeros((count, WIDTH), dtype=np.float32))
    with pytest.raises(OSError, match=r"full|No space"):
        index.save(full)
