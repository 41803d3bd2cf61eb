"""Precision against recall as a threshold moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ram_tagger.evaluation.metrics import Floats

RECALLS = np.linspace(0, 1, 101)
"""Where the curves of several labels are averaged."""


@dataclass(frozen=True, slots=True)
class Curve:
    """recalls and precisions: (points,) float64 each, 0..1, recall rising."""

    recalls: Floats
    precisions: Floats


def overall_curve(scores: ArrayLike, truth: ArrayLike) -> Curve:
    """All pairs of a picture and a label as one, one threshold for all.

    scores: (pictures, labels), higher is likelier; truth: the same shape. One point for each score
    that is true somewhere, and none where nothing is true.
    """
    values, true = np.asarray(scores), np.asarray(truth).astype(bool)
    ranked, hits = np.sort(values, axis=None), np.sort(values[true])
    limits = np.unique(hits)[::-1]
    given = len(ranked) - np.searchsorted(ranked, limits)
    right = len(hits) - np.searchsorted(hits, limits)
    return Curve(right / max(len(hits), 1), right / given)


def mean_curve(scores: ArrayLike, truth: ArrayLike) -> Curve:
    """The mean over labels of the best precision that each reaches at a recall or above it.

    Labels that are never true are left out. Points at `RECALLS`, none where nothing is true.
    """
    values, true = np.asarray(scores), np.asarray(truth).astype(bool)
    labels = np.flatnonzero(true.any(axis=0))
    if not len(labels):
        return Curve(np.empty(0), np.empty(0))
    reached = [_reached(overall_curve(values[:, [at]], true[:, [at]])) for at in labels]
    return Curve(RECALLS, np.mean(reached, axis=0))


def _reached(curve: Curve) -> NDArray[np.float64]:
    best = np.maximum.accumulate(curve.precisions[::-1])[::-1]
    # A recall of 3/5 is reached by three of five, whatever 0.6 is in binary.
    return best[np.searchsorted(curve.recalls, RECALLS - 1e-9)]
