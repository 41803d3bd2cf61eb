"""Where relevance ends, and how descriptions are weighted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from photoindex.search.candidates import REWEIGHT_SCALE, reweighted
from photoindex.search.relevance import (
    NoiseFloor,
    logit,
    relevant_by_decoder,
    relevant_by_similarity,
    similarity_score,
)


def test_the_noise_floor_ignores_the_photos_that_match() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.2, 0.02, 5000).astype(np.float32)
    matching = np.full(500, 0.35, dtype=np.float32)
    floor = NoiseFloor.of_similarities(np.concatenate([noise, matching]))
    assert abs(floor.median - 0.2) < 0.01
    assert abs(floor.deviation - 0.02) < 0.005
    assert floor.standing(matching).min() > 5


def test_no_unrelated_photo_passes_the_cut_by_similarity_alone() -> None:
    rng = np.random.default_rng(1)
    for mean in (-0.1, 0.15, 0.3):  # floors differ from query to query
        noise = rng.normal(mean, 0.02, 2000).astype(np.float32)
        floor = NoiseFloor.of_similarities(noise)
        assert relevant_by_similarity(floor.standing(noise), floor.cut()).sum() <= 2


def decided(probabilities: list[float], standing: float = 0.0) -> list[bool]:
    """What the decoder's rule says of a library where 0.15 is usual."""
    rng = np.random.default_rng(2)
    library = logit(np.clip(rng.normal(0.15, 0.02, 200), 0.05, 0.3)).astype(np.float32)
    logits = logit(np.array(probabilities)).astype(np.float32)
    standings = np.full(len(logits), standing, dtype=np.float32)
    return relevant_by_decoder(logits, NoiseFloor.of_logits(library), standings, 4.0, 0.7).tolist()


def test_the_decoder_decides() -> None:
    assert decided([0.9, 0.75, 0.6, 0.15]) == [True, True, False, False]


def test_similarity_that_stands_out_helps_a_plausible_photo() -> None:
    assert decided([0.9, 0.6, 0.3], standing=5.0) == [True, True, False]


def test_a_photo_that_shows_every_tag_the_text_names_needs_less() -> None:
    logits = logit(np.array([0.4, 0.4, 0.1])).astype(np.float32)
    floor, nothing = NoiseFloor(-2.0, 0.1, 100), np.zeros(3, dtype=np.float32)
    named = np.array([True, False, True])
    found = relevant_by_decoder(logits, floor, nothing, 4.0, 0.7, named)
    assert found.tolist() == [True, False, False]


def test_half_of_what_was_asked_for_lags_behind_all_of_it() -> None:
    assert decided([0.9999, 0.75]) == [True, False]
    assert decided([0.95, 0.75]) == [True, True]


def test_a_query_that_everything_fits_a_little_finds_nothing() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(-0.3, 0.3, 500).astype(np.float32)  # words that the model does not know
    nothing = np.zeros(500, dtype=np.float32)
    found = relevant_by_decoder(logits, NoiseFloor.of_logits(logits), nothing, 4.0, 0.7)
    assert found.sum() <= 1


def test_a_query_that_most_of_the_library_shows_finds_most_of_it() -> None:
    logits = np.concatenate([np.full(80, 2.0), np.full(20, -3.0)]).astype(np.float32)
    nothing = np.zeros(100, dtype=np.float32)
    found = relevant_by_decoder(logits, NoiseFloor.of_logits(logits), nothing, 4.0, 0.7)
    assert found.sum() == 80


def test_three_photos_are_judged_by_the_probability() -> None:
    logits = logit(np.array([0.9, 0.72, 0.1])).astype(np.float32)
    nothing = np.zeros(3, dtype=np.float32)
    found = relevant_by_decoder(logits, NoiseFloor.of_logits(logits), nothing, 4.0, 0.7)
    assert found.tolist() == [True, True, False]


def test_a_library_too_small_to_measure_shows_nothing_by_similarity_alone() -> None:
    floor = NoiseFloor.of_similarities(np.array([0.2, 0.3], dtype=np.float32))
    standing = floor.standing(np.array([0.2], dtype=np.float32))
    assert not relevant_by_similarity(standing, floor.cut()).any()


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
