"""How good a ranking of labels or pictures is. Arrays are (pictures, labels) throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Per label, each (labels,) float64 in 0..1; 0 where a label was never given or never true."""

    precisions: Floats
    recalls: Floats

    @property
    def precision(self) -> float:
        """Mean over labels ("CP" in the literature)."""
        return float(self.precisions.mean())

    @property
    def recall(self) -> float:
        """Mean over labels ("CR" in the literature)."""
        return float(self.recalls.mean())


def average_precisions(scores: ArrayLike, truth: ArrayLike) -> Floats:
    """The average precision of each label: mean precision at the rank of every true picture.

    scores: (pictures, labels), higher is likelier; truth: the same shape, 0 or 1. Equal scores
    keep the order of the pictures. Returns (labels,) float64, 0 for a label that is never true.
    """
    values, true = _pair(scores, truth)
    order = np.argsort(-values, axis=0, kind="stable")
    hits = np.take_along_axis(true, order, axis=0)
    ranks = np.arange(1, len(values) + 1)[:, None]
    precision = np.cumsum(hits, axis=0) / ranks
    return np.asarray((precision * hits).sum(axis=0) / np.maximum(hits.sum(axis=0), 1))


def mean_average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """The mean of `average_precisions` over all labels."""
    return float(average_precisions(scores, truth).mean())


def precision_recall(
    scores: ArrayLike, truth: ArrayLike, thresholds: ArrayLike = 0.5
) -> PrecisionRecall:
    """Precision and recall of each label above a threshold, one for all or one each."""
    values, true = _pair(scores, truth)
    given = values > np.asarray(thresholds, dtype=np.float64)
    both = (given & true).sum(axis=0)
    return PrecisionRecall(
        both / np.maximum(given.sum(axis=0), 1), both / np.maximum(true.sum(axis=0), 1)
    )


def best_thresholds(probabilities: ArrayLike, truth: ArrayLike) -> Floats:
    """For each label, the threshold with the best F1: midway between two neighbouring figures.

    probabilities: (pictures, labels), 0..1. Returns (labels,) float64; 0.5 where nothing is true.
    """
    values, true = _pair(probabilities, truth)
    order = np.argsort(-values, axis=0, kind="stable")
    hits = np.take_along_axis(true, order, axis=0)
    ranked = np.take_along_axis(values, order, axis=0)
    given = np.arange(1, len(values) + 1)[:, None]
    f1 = 2 * np.cumsum(hits, axis=0) / (given + true.sum(axis=0))
    below = np.concatenate([ranked[1:], np.zeros_like(ranked[:1])])
    f1[ranked == below] = 0  # no threshold lies between equal figures
    best, columns = f1.argmax(axis=0), np.arange(values.shape[1])
    middle = (ranked[best, columns] + below[best, columns]) / 2
    return np.where(true.any(axis=0), middle, 0.5)


def recall_at(scores: ArrayLike, truth: ArrayLike, count: int) -> float:
    """How much of what is true is among the `count` best pictures of a query, mean over queries.

    scores, truth: (pictures, queries). A query with more true pictures than `count` can still
    reach 1.
    """
    values, true = _pair(scores, truth)
    order = np.argsort(-values, axis=0, kind="stable")[:count]
    found = np.take_along_axis(true, order, axis=0).sum(axis=0)
    asked = np.minimum(true.sum(axis=0), count)
    return float((found / np.maximum(asked, 1)).mean())


def _pair(scores: ArrayLike, truth: ArrayLike) -> tuple[Floats, Bools]:
    values, true = np.asarray(scores, dtype=np.float64), np.asarray(truth).astype(bool)
    if values.shape != true.shape or values.ndim != 2:
        raise ValueError(f"scores {values.shape} and truth {true.shape} must be alike, 2 axes each")
    return values, true
