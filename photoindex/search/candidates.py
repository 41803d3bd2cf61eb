"""Candidates for an open-set concept: by CLIP similarity, each photo weighting descriptions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import PhotoFilter
from photoindex.search.relevance import NoiseFloor
from photoindex.tagger import Floats, Ids, LabelEmbeddings
from photoindex.vectors.base import VectorIndex

SHORTLIST = 200
"""Photos that the alignment decoder re-scores for one query."""
SAMPLE = 2000
"""Photos whose similarities stand for the whole library's."""
BACKGROUND = 100
"""Photos that the decoder scores besides, to learn what is usual for the query."""
REWEIGHT_SCALE = 1 / 0.07
"""How sharply a photo prefers the descriptions that fit it (RAM++, section 3.3)."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Photos worth re-scoring, and photos that stand for the library as a whole.

    ids: (n,) int64; similarities: (n,) float32, cosines; background: (m,) int64.
    """

    ids: Ids
    similarities: Floats
    floor: NoiseFloor
    background: Ids


def find_candidates(
    labels: LabelEmbeddings,
    vectors: VectorIndex,
    within: Ids | None,
    also: Ids,
    everything: Ids,
    shortlist: int = SHORTLIST,
) -> Candidates:
    """The photos most similar to any description of one label, and those in `also`.

    within: only these photos, None for all; everything: the ids of all analysed photos.
    """
    _, found = vectors.search(labels.embeddings, shortlist, within)
    ids = np.unique(np.concatenate([found[found >= 0].ravel(), also])).astype(np.int64)
    similarities = similarity(labels, vectors, ids)
    best = np.argsort(-similarities, kind="stable")[: shortlist + len(also)]
    best.sort()
    sample = similarity(labels, vectors, _evenly(everything, SAMPLE))
    return Candidates(
        ids[best],
        similarities[best],
        NoiseFloor.of_similarities(sample),
        _evenly(everything, BACKGROUND),
    )


def _evenly(ids: Ids, most: int) -> Ids:
    """At most `most` ids, spread over all of them."""
    return ids[:: -(-len(ids) // most) or 1]


def similarity(labels: LabelEmbeddings, vectors: VectorIndex, ids: Ids) -> Floats:
    """(photos,) cosines between photos and one label's descriptions, each photo weighting them.

    A photo's weights are softmax(scale * cosine with each description), as in RAM++.
    """
    cosines = vectors.similarities(labels.embeddings, ids)  # K photos
    return reweighted(cosines, labels.embeddings)


def reweighted(cosines: Floats, descriptions: Floats) -> Floats:
    """(photos,) cosines with the weighted label, from (descriptions, photos) cosines."""
    shifted = REWEIGHT_SCALE * (cosines - cosines.max(axis=0, keepdims=True))
    weights = np.exp(shifted)
    weights /= weights.sum(axis=0, keepdims=True)  # K photos
    gram = descriptions @ descriptions.T  # K K
    length = np.sqrt(np.einsum("kp,kl,lp->p", weights, gram, weights))
    return np.asarray((weights * cosines).sum(axis=0) / length, dtype=np.float32)


def tagged(catalog: Catalog, tag_ids: tuple[int, ...], within: Ids | None, most: int) -> Ids:
    """The photos most probably showing any of some tags, at most `most`."""
    if not tag_ids:
        return np.empty(0, dtype=np.int64)
    ids = catalog.photos.select(PhotoFilter(all_of=(tag_ids,)))
    if within is not None:
        ids = np.intersect1d(ids, within, assume_unique=True)
    if len(ids) <= most:
        return ids
    probability = catalog.photos.probability(ids, tag_ids).max(axis=1)
    return np.asarray(ids[np.argsort(-probability, kind="stable")[:most]], dtype=np.int64)
