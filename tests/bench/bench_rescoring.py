"""Scoring stored photos for labels added later: the tokens asked themselves, or projected first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import stored_library
import torch
from figures import Bench, Figure, median_seconds

from photoindex.analysis.concepts import _pass_over
from photoindex.catalog.catalog import Catalog
from photoindex.tagger import LabelEmbeddings, StoredPhotos, no_progress
from ram_tagger import decoder, predict
from ram_tagger.predict import RamTagger
from ram_tagger.sources import SKETCH

PART = "rescoring"
PHOTOS = 16_000
DESCRIPTIONS = 51
LABELS = (1, 4, 16, 32, 64, 128)
FEW_PHOTOS = 512
BLOCKS = (32, 64, 256)
"""Photos at a time with which the plain way is tried: its best counts as the baseline."""


def measure(bench: Bench) -> Iterator[Figure]:
    """From the catalog for one label, then from memory for several."""
    model = bench.model or SKETCH.bundled
    assert model is not None
    if bench.model is None:
        bench.log("rescoring: with the bundled small model, as there is none of full size")
    tagger = RamTagger.load(model, bench.device, "bf16" if bench.model else "fp32")
    config = tagger.config.ram
    shape = (_token_count(tagger), config.embedding_width)
    photos = min(PHOTOS, bench.photos)
    path = stored_library.build(bench.folder, photos, shape)
    with Catalog.open(path) as catalog:
        yield from _one_label(tagger, catalog, photos)
        blocks = _some_blocks(catalog)
    yield from _several_labels(tagger, blocks)
    yield from _differences(model, bench.device, tagger, blocks)


class _Scoring:
    """The part of a plugin's tagger that a pass over the catalog asks."""

    model_id = stored_library.MODEL

    def __init__(self, tagger: RamTagger) -> None:
        self.score = tagger.score


def _one_label(tagger: RamTagger, catalog: Catalog, photos: int) -> Iterator[Figure]:
    labels, scoring = _labels(tagger, 1), _Scoring(tagger)

    def scored() -> None:
        _pass_over(labels, catalog, scoring, no_progress)  # type: ignore[arg-type]

    quick = photos / median_seconds(scored, 3)
    plain = max(photos / median_seconds(scored, 1, warm=0) for _ in _plainly())
    yield Figure(
        *(PART, "one label, from the catalog", quick, "photos/s", plain, "tokens projected"),
        ">= 8,000 photos/s",
    )


def _several_labels(tagger: RamTagger, blocks: list[StoredPhotos]) -> Iterator[Figure]:
    photos = sum(map(len, blocks))
    for count in LABELS:
        labels = _labels(tagger, count)
        scored = partial(tagger.score, labels, blocks)
        with _asking(10**6):
            quick = photos / median_seconds(scored, 3)
        plain = max(photos / median_seconds(scored, 3) for _ in _plainly())
        yield Figure(
            *(PART, f"{count} labels, tokens asked", quick, "photos/s"),
            *(plain, "tokens projected"),
        )


def _differences(
    model: Path, device: str, tagger: RamTagger, blocks: list[StoredPhotos]
) -> Iterator[Figure]:
    """How far probabilities are from those of projected tokens in 32 bit."""
    exact = RamTagger.load(model, device, "fp32")
    labels = _labels(tagger, 4)

    def scores(by: RamTagger, few: int) -> np.ndarray:
        with _asking(few):
            return by.score(labels, blocks[:1])

    true = scores(exact, 0)
    largest = {
        (name, few): float(np.abs(scores(by, few) - true).max())
        for name, by in (("32 bit", exact), ("16 bit", tagger))
        if name == "32 bit" or tagger.dtype == torch.bfloat16
        for few in (10**6, 0)
    }
    for name in dict.fromkeys(name for name, _ in largest):
        yield Figure(
            *(PART, f"largest difference in probability, {name}", largest[name, 10**6], "of 1"),
            *(largest[name, 0], "tokens projected", "<= 0.001"),
        )


def _labels(tagger: RamTagger, count: int) -> LabelEmbeddings:
    rows = np.random.default_rng(count).standard_normal(
        (count * DESCRIPTIONS, tagger.config.ram.embedding_width)
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = tuple(map(str, range(count)))
    return LabelEmbeddings(names, rows.astype(np.float32), np.full(count, DESCRIPTIONS))


def _some_blocks(catalog: Catalog) -> list[StoredPhotos]:
    blocks: list[StoredPhotos] = []
    for _, block in catalog.analyses.stored(stored_library.MODEL):
        blocks.append(block)
        if sum(map(len, blocks)) >= FEW_PHOTOS:
            break
    return blocks


@torch.inference_mode()
def _token_count(tagger: RamTagger) -> int:
    size = tagger.config.ram.image_size
    return tagger.network.encode(
        torch.zeros(1, 3, size, size, dtype=tagger.dtype, device=tagger.device)
    ).shape[1]


def _plainly() -> Iterator[None]:
    """Once for each number of photos at a time, tokens projected."""
    before = predict.PHOTOS
    try:
        for predict.PHOTOS in BLOCKS:
            with _asking(0):
                yield
    finally:
        predict.PHOTOS = before


@contextmanager
def _asking(few: int) -> Iterator[None]:
    """Up to how many labels tokens are asked themselves."""
    before, decoder.FEW_LABELS = decoder.FEW_LABELS, few
    try:
        yield
    finally:
        decoder.FEW_LABELS = before
