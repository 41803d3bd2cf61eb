"""Candidates: what comparing every photo with every description would give, from either index."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoindex.search.candidates import Candidates, find_candidates, reweighted
from photoindex.tagger import Floats, Ids, LabelEmbeddings
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.growth import AnyIndex
from photoindex.vectors.inverted import InvertedIndex

PHOTOS, WIDTH = 3000, 32
IDS = np.arange(10, 10 + 3 * PHOTOS, 3)  # numbers of purged photos are missing


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def photos() -> Floats:
    """Pictures of 60 subjects in a cone."""
    rng = np.random.default_rng(1)
    subjects = rng.standard_normal((60, WIDTH))[rng.integers(60, size=PHOTOS)]
    return unit(6 + subjects + 0.5 * rng.standard_normal((PHOTOS, WIDTH)))


EMBEDDINGS = photos()


def exact(ids: Ids) -> tuple[Ids, Floats]:
    return ids, EMBEDDINGS[(ids - 10) // 3]


def flat() -> FlatIndex:
    index = FlatIndex()
    index.add(IDS, EMBEDDINGS)
    return index


def inverted() -> InvertedIndex:
    index = InvertedIndex.train(EMBEDDINGS, 40, exact, read=2000)
    index.add(IDS, EMBEDDINGS)
    return index


@pytest.fixture(scope="module", params=[flat, inverted], ids=["flat", "inverted"])
def index(request: pytest.FixtureRequest) -> AnyIndex:
    make: Callable[[], AnyIndex] = request.param
    return make()


def label(seed: int, descriptions: int, spread: float) -> LabelEmbeddings:
    """Descriptions that lie around one direction, or anywhere where the spread is large."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal(WIDTH) + spread * rng.standard_normal((descriptions, WIDTH))
    return LabelEmbeddings(("",), unit(rows), np.array([descriptions]))


def first(found: Candidates, most: int = 10) -> list[int]:
    return found.ids[np.argsort(-found.similarities, kind="stable")[:most]].tolist()


def best(asked: LabelEmbeddings, allowed: Ids, most: int = 10) -> list[int]:
    rows = EMBEDDINGS[(allowed - 10) // 3]
    similarities = reweighted(asked.embeddings @ rows.T, asked.embeddings)
    return allowed[np.argsort(-similarities, kind="stable")[:most]].tolist()


NOTHING: Ids = np.empty(0, dtype=np.int64)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 5.0])
def test_the_first_are_those_that_an_exhaustive_search_finds(
    index: AnyIndex, spread: float
) -> None:
    shared = 0
    for seed in range(30):
        asked = label(seed, 6, spread)
        shared += len(
            set(first(find_candidates(asked, index, None, NOTHING))) & set(best(asked, IDS))
        )
    assert shared >= 0.98 * 300


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0, 0.3), count=st.integers(1, 20))
def test_a_filter_leaves_only_what_meets_it(
    index: AnyIndex, seed: int, share: float, count: int
) -> None:
    allowed = IDS[np.random.default_rng(seed).random(PHOTOS) < share]
    asked = label(seed, count, 0.5)
    within = np.concatenate([allowed, [1, 10**6]])  # neither of which the index has
    found = find_candidates(asked, index, within, NOTHING, shortlist=50)
    assert set(found.ids.tolist()) <= set(allowed.tolist())
    assert len(found.ids) == min(50, len(allowed))
    assert first(found, 5) == best(asked, allowed, 5)


def test_similarities_are_exact(index: AnyIndex) -> None:
    asked = label(5, 6, 0.5)
    found = find_candidates(asked, index, None, NOTHING)
    rows = EMBEDDINGS[(found.ids - 10) // 3]
    expected = reweighted(asked.embeddings @ rows.T, asked.embeddings)
    assert np.allclose(found.similarities, expected, atol=1e-5)
    assert (np.diff(found.ids) > 0).all()


def test_photos_named_besides_are_among_them(index: AnyIndex) -> None:
    asked = label(6, 3, 0.5)
    worst = np.array(best(asked, IDS, PHOTOS)[-2:])
    also = np.concatenate([worst, [11]])  # a photo that the index does not have
    found = find_candidates(asked, index, None, also, shortlist=3000)
    assert set(worst.tolist()) <= set(found.ids.tolist()) and 11 not in found.ids


def test_the_noise_floor_is_that_of_the_whole_library(index: AnyIndex) -> None:
    asked = label(7, 6, 0.5)
    found = find_candidates(asked, index, IDS[:5], NOTHING)
    similarities = reweighted(asked.embeddings @ EMBEDDINGS.T, asked.embeddings)
    assert abs(found.floor.median - np.median(similarities)) < 0.1 * found.floor.deviation
    assert len(found.background) == 100 and set(found.background.tolist()) <= set(IDS.tolist())


def test_an_empty_index_has_no_candidates() -> None:
    found = find_candidates(label(8, 6, 0.5), FlatIndex(), None, np.array([3]))
    assert len(found.ids) == len(found.similarities) == len(found.background) == 0
    assert found.floor.photos == 0
