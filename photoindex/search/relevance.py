"""Where relevance ends: each query is measured against the library's own distribution of scores.

The cosine of a caption and an unrelated photo is not zero, and how far from zero it is differs
from query to query, so no fixed cut-off works. What holds for every query is that most photos of a
library do not show it: the median of the library's similarities is the query's noise floor, and
the spread below the median (which matching photos cannot widen) is its noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from photoindex.tagger import Floats

SURE = 0.5
"""Decoder probability from which a photo is relevant without further evidence."""
PLAUSIBLE = 0.2
"""Decoder probability that is enough for a photo which also stands out by similarity."""
OUTSTANDING = 3.0
"""Deviations above the noise floor that count as standing out."""
_SMALLEST_SPREAD = 0.01
_FEW = 8


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """A query's similarity to photos that do not show it: median and deviation (cosines)."""

    median: float
    deviation: float
    photos: int

    @classmethod
    def measure(cls, similarities: Floats) -> NoiseFloor:
        """From the similarities of a query to (a sample of) the whole library, (photos,)."""
        if len(similarities) < _FEW:
            return cls(float(np.median(similarities)) if len(similarities) else 0.0, 0.1, 0)
        median, low = np.quantile(similarities, [0.5, 0.1587])
        return cls(float(median), max(float(median - low), _SMALLEST_SPREAD), len(similarities))

    def standing(self, similarities: Floats) -> Floats:
        """Deviations above the median, for (photos,) similarities."""
        return ((similarities - self.median) / self.deviation).astype(np.float32)

    def cut(self) -> float:
        """The standing that the best of this many unrelated photos hardly reaches by chance."""
        return max(OUTSTANDING, math.sqrt(2 * math.log(max(self.photos, 2))) + 0.5)


def relevant(standing: Floats, probabilities: Floats | None, cut: float) -> np.ndarray:
    """Which photos show what was asked for, (photos,) bool.

    standing: deviations above the noise floor; probabilities: the alignment decoder's, None for a
    tagger without one, which leaves the standing alone to decide.
    """
    if probabilities is None:
        return standing >= cut
    return (probabilities >= SURE) | ((probabilities >= PLAUSIBLE) & (standing >= OUTSTANDING))


def similarity_score(standing: Floats, cut: float) -> Floats:
    """Standing as a number 0..1: one half at the cut."""
    return np.asarray(1.0 / (1.0 + np.exp(cut - standing)), dtype=np.float32)
