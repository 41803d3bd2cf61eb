"""Where relevance ends: each query is measured against the library's own distribution of scores.

The cosine of a caption and an unrelated photo is not zero, and how far from zero it is differs
from query to query; the decoder's probability has a floor of its own for every query, too. So no
fixed cut-off works. What holds for most queries is that most photos do not show what is asked for:
the median over the library is the query's noise floor, and the spread below the median, which
matching photos cannot widen, is its noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import Floats

Flags = NDArray[np.bool_]

PLAUSIBLE = 1.0
"""How far below the sure probability's logit a photo may lie whose similarity passes the cut."""
STANDING_OUT = 4.0
"""Deviations above its noise floor from which a logit stands out."""
NAMED = 2.0
"""The same for a photo that surely shows every one of several tags that the text names."""
LAGGING = 7.0
"""How far below the best logit of a query a hit may lie; what shows half of it lies lower."""
_FEW = 8
"""Fewer photos than this cannot tell noise from matches: then a usual floor is taken."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What a query scores on photos that do not show it: median, deviation, photos measured."""

    median: float
    deviation: float
    photos: int

    @classmethod
    def of_similarities(cls, similarities: Floats) -> NoiseFloor:
        """From the cosines of a query with (a sample of) the whole library, (photos,)."""
        return cls._measure(similarities, 0.01, usual=cls(0.0, 0.1, 0))

    @classmethod
    def of_logits(cls, logits: Floats) -> NoiseFloor:
        """From the decoder's logits on (a sample of) the whole library, (photos,)."""
        return cls._measure(logits, 0.1, usual=cls(-2.0, 0.5, 0))

    @classmethod
    def _measure(cls, values: Floats, least: float, usual: NoiseFloor) -> NoiseFloor:
        if len(values) < _FEW:
            return usual
        median, low = np.quantile(values, [0.5, 0.1587])
        return cls(float(median), max(float(median - low), least), len(values))

    def standing(self, values: Floats) -> Floats:
        """Deviations above the median, for (photos,) values."""
        return np.asarray((values - self.median) / self.deviation, dtype=np.float32)

    def cut(self) -> float:
        """The standing that the best of this many unrelated photos hardly reaches by chance."""
        return max(3.0, math.sqrt(2 * math.log(max(self.photos, 2))) + 0.5)


def relevant_by_similarity(standing: Floats, cut: float) -> Flags:
    """Which photos show what was asked for, by how far their similarity stands out alone."""
    return np.asarray(standing >= cut)


def relevant_by_decoder(
    logits: Floats,
    floor: NoiseFloor,
    standing: Floats,
    cut: float,
    sure: float,
    named: Flags | None = None,
) -> Flags:
    """Which photos show what was asked for, (photos,) bool.

    logits: the decoder's; floor: their noise floor; standing: of the similarities, which help a
    photo that the decoder finds plausible; sure: the probability, 0..1, from which the model is
    to be believed; named: whether a photo shows all of several tags that the text names. Where
    most of the library shows what was asked for, the floor is no noise, and the probability
    decides alone.
    """
    if not len(logits):
        return np.zeros(0, dtype=bool)
    mostly = floor.median >= logit(sure)
    outstanding = mostly | (floor.standing(logits) >= STANDING_OUT)
    keeping_up = logits >= logits.max() - LAGGING
    needed = logit(sure) - np.where(standing >= cut, PLAUSIBLE, 0.0)
    if named is not None:
        needed -= np.where(named, NAMED, 0.0)
    return np.asarray((logits >= needed) & outstanding & keeping_up)


def similarity_score(standing: Floats, cut: float) -> Floats:
    """Standing as a number 0..1: one half at the cut."""
    return np.asarray(0.5 + 0.5 * np.tanh((standing - cut) / 2), dtype=np.float32)


def logit(probability: Any) -> Any:
    """The number whose sigmoid is a probability, for numbers and arrays."""
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))
