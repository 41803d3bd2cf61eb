"""Where relevance ends, and how descriptions are weighted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from photoindex.search.candidates import REWEIGHT_SCALE, reweighted
from photoindex.search.relevance import NoiseFloor, relevant, similarity_score


def test_the_noise_floor_ignores_the_photos_that_match() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.2, 0.02, 5000).astype(np.float32)
    matching = np.full(500, 0.35, dtype=np.float32)
    floor = NoiseFloor.measure(np.concatenate([noise, matching]))
    assert abs(floor.median - 0.2) < 0.01
    assert abs(floor.deviation - 0.02) < 0.005
    assert floor.standing(matching).min() > 5


def test_no_unrelated_photo_passes_the_cut_by_similarity_alone() -> None:
    rng = np.random.default_rng(1)
    for mean in (-0.1, 0.15, 0.3):  # floors differ from query to query
        noise = rng.normal(mean, 0.02, 2000).astype(np.float32)
        floor = NoiseFloor.measure(noise)
        assert relevant(floor.standing(noise), None, floor.cut()).sum() <= 2


def test_the_decoder_decides_and_similarity_helps_out() -> None:
    standing = np.array([0.0, 0.0, 4.0, 4.0], dtype=np.float32)
    probabilities = np.array([0.6, 0.3, 0.3, 0.1], dtype=np.float32)
    assert relevant(standing, probabilities, 4.0).tolist() == [True, False, True, False]


def test_a_library_too_small_to_measure_shows_nothing_by_similarity_alone() -> None:
    floor = NoiseFloor.measure(np.array([0.2, 0.3], dtype=np.float32))
    assert not relevant(floor.standing(np.array([0.3], dtype=np.float32)), None, floor.cut()).any()


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_descriptions_are_weighted_photo_by_photo(count: int, photos: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    descriptions = rng.normal(size=(count, 16)).astype(np.float32)
    descriptions /= np.linalg.norm(descriptions, axis=1, keepdims=True)
    embeddings = rng.normal(size=(photos, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    got = reweighted(descriptions @ embeddings.T, descriptions)
    for embedding, similarity in zip(embeddings, got, strict=True):
        weights = np.exp(REWEIGHT_SCALE * descriptions @ embedding)
        label = (weights[:, None] * descriptions).sum(0)
        label /= np.linalg.norm(label)
        assert abs(float(label @ embedding) - float(similarity)) < 1e-4


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=20))
def test_a_similarity_score_lies_between_0_and_1_and_keeps_the_order(values: list[float]) -> None:
    standing = np.sort(np.array(values, dtype=np.float32))
    score = similarity_score(standing, 3.0)
    assert ((score >= 0) & (score <= 1)).all()
    assert (np.diff(score) >= 0).all()
