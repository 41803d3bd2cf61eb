"""Candidates for an open-set concept: by CLIP similarity, each photo weighting descriptions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import PhotoFilter
from photoindex.search.relevance import NoiseFloor
from photoindex.tagger import Floats, Ids, LabelEmbeddings
from photoindex.vectors.base import ABSENT, VectorIndex

SHORTLIST = 200
"""Photos that the alignment decoder re-scores for one query."""
SAMPLE = 2000
"""Photos whose similarities stand for the whole library's."""
BACKGROUND = 100
"""Photos that the decoder scores besides, to learn what is usual for the query."""
REWEIGHT_SCALE = 1 / 0.07
"""How sharply a photo prefers the descriptions that fit it (RAM++, section 3.3)."""
_DEPTH = 5  # photos fetched in one direction for each that is wanted: their weights differ
_SPARE = 100  # photos beyond the shortlist whose exact similarity decides
_ALIKE = 0.93  # cosine from which a direction stands for a description
_DIRECTIONS = 6  # looked into at most


@dataclass(frozen=True, slots=True)
class Candidates:
    """Photos worth re-scoring, and photos that stand for the library as a whole.

    ids: (n,) int64, ascending; similarities: (n,) float32, cosines; background: (m,) int64.
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
    shortlist: int = SHORTLIST,
) -> Candidates:
    """The photos most similar to one label, and those in `also`, as far as the index has them.

    within: only these photos, None for all. The index proposes by quick estimates; exact
    similarities decide. The noise floor is measured on estimates: it is a median.
    """
    descriptions = labels.embeddings
    directions = _directions(descriptions)
    depth = math.ceil(_DEPTH / math.sqrt(len(directions)))
    _, found = vectors.search(directions, depth * shortlist, within)
    ids = np.unique(np.concatenate([found[found != ABSENT], also])).astype(np.int64)
    ids, estimates = _held(ids, vectors.estimates(descriptions, ids), descriptions)
    most = shortlist + len(also)
    ids = ids[_best(estimates, most + _SPARE)]
    ids, similarities = _held(ids, vectors.similarities(descriptions, ids), descriptions)
    best = _best(similarities, most)
    everything = vectors.ids()
    sample = _evenly(everything, SAMPLE)
    _, usual = _held(sample, vectors.estimates(descriptions, sample), descriptions)
    return Candidates(
        ids[best],
        similarities[best],
        NoiseFloor.of_similarities(usual),
        _evenly(everything, BACKGROUND),
    )


def _directions(descriptions: Floats) -> Floats:
    """(n, d) unit vectors that stand for (descriptions, d): where to look for photos.

    Their mean, as descriptions of one thing lie close together, and those far from it, the
    farthest first. Reading the index deeper in one direction finds more than reading it again
    for each description.
    """
    mean = descriptions.sum(axis=0)
    chosen = [mean / max(float(np.linalg.norm(mean)), 1e-12)]
    closest = descriptions @ chosen[0]
    while len(chosen) < min(_DIRECTIONS, len(descriptions)) and closest.min() < _ALIKE:
        chosen.append(descriptions[int(closest.argmin())])
        closest = np.maximum(closest, descriptions @ chosen[-1])
    return np.stack(chosen)


def _best(similarities: Floats, most: int) -> Ids:
    """(at most `most`,) places of the highest, in their own order."""
    if len(similarities) <= most:
        return np.arange(len(similarities))
    return np.sort(np.argpartition(-similarities, most)[:most])


def _held(ids: Ids, cosines: Floats, descriptions: Floats) -> tuple[Ids, Floats]:
    """The photos that have cosines, and their similarities with the weighted label, (photos,)."""
    there = np.isfinite(cosines).all(axis=0)
    return ids[there], reweighted(cosines[:, there], descriptions)


def _evenly(ids: Ids, most: int) -> Ids:
    """At most `most` ids, spread over all of them."""
    return ids[:: -(-len(ids) // most) or 1]


def reweighted(cosines: Floats, descriptions: Floats) -> Floats:
    """(photos,) cosines with the weighted label, from (descriptions, photos) cosines."""
    if not cosines.size:
        return np.empty(0, dtype=np.float32)
    shifted = REWEIGHT_SCALE * (cosines - cosines.max(axis=0, keepdims=True))
    weights = np.exp(shifted)
    weights /= weights.sum(axis=0, keepdims=True)  # K photos
    gram = descriptions @ descriptions.T  # K K
    length = np.sqrt((weights * (gram @ weights)).sum(axis=0))
    return np.asarray((weights * cosines).sum(axis=0) / length, dtype=np.float32)


def tagged(catalog: Catalog, tag_ids: tuple[int, ...], within: Ids | None, most: int) -> Ids:
    """The photos most probably showing any of some tags, at most `most`."""
    if not tag_ids:
        return np.empty(0, dtype=np.int64)
    ids = catalog.photos.select(PhotoFilter(all_of=(tag_ids,)))
    if within is not None:
        ids = ids[np.isin(ids, within)]
    if len(ids) <= most:
        return ids
    probability = catalog.photos.probability(ids, tag_ids).max(axis=1)
    return np.asarray(ids[np.argsort(-probability, kind="stable")[:most]], dtype=np.int64)
