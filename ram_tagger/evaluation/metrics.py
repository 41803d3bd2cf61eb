"""How good a ranking of labels or pictures is. Arrays are (pictures, labels) throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """How many pictures each label was right on, given to, and true of: (labels,) int64 each.

    Everything derived is in 0..1, and 0 where a label was never given or never true.
    """

    right: Counts
    given: Counts
    true: Counts

    @property
    def precisions(self) -> Floats:
        """(labels,) float64."""
        return self.right / np.maximum(self.given, 1)

    @property
    def recalls(self) -> Floats:
        """(labels,) float64."""
        return self.right / np.maximum(self.true, 1)

    @property
    def f1s(self) -> Floats:
        """(labels,) float64."""
        return np.asarray(2 * self.right / np.maximum(self.given + self.true, 1))

    @property
    def precision(self) -> float:
        """Mean over labels ("CP" in the literature)."""
        return float(self.precisions.mean())

    @property
    def recall(self) -> float:
        """Mean over labels ("CR" in the literature)."""
        return float(self.recalls.mean())

    @property
    def f1(self) -> float:
        """Mean over labels."""
        return float(self.f1s.mean())

    @property
    def overall(self) -> PrecisionRecall:
        """All labels as one ("OP", "OR", "OF1" in the literature): a common label counts more."""
        return PrecisionRecall(*(c.sum(keepdims=True) for c in (self.right, self.given, self.true)))


def average_precisions(scores: ArrayLike, truth: ArrayLike) -> Floats:
    """The average precision of each label: mean precision at the rank of every true picture.

    scores: (pictures, labels), higher is likelier; truth: the same shape, 0 or 1. Equal scores
    keep the order of the pictures. Returns (labels,) float64, 0 for a label that is never true.
    """
    values, true = _pair(scores, truth)
    ranks = np.arange(1, len(values) + 1)
    averages = np.zeros(values.shape[1])
    for label in np.flatnonzero(true.any(axis=0)):  # one at a time: memory for many labels
        hits = true[np.argsort(-values[:, label], kind="stable"), label]
        averages[label] = (np.cumsum(hits) / ranks)[hits].mean()
    return averages


def mean_average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """The mean of `average_precisions` over all labels."""
    return float(average_precisions(scores, truth).mean())


def precision_recall(
    scores: ArrayLike, truth: ArrayLike, thresholds: ArrayLike = 0.5
) -> PrecisionRecall:
    """Precision and recall of each label above a threshold, one for all or one each."""
    values, true = _pair(scores, truth)
    given = values > np.asarray(thresholds, dtype=np.float64)
    return PrecisionRecall((given & true).sum(axis=0), given.sum(axis=0), true.sum(axis=0))


def best_thresholds(probabilities: ArrayLike, truth: ArrayLike) -> Floats:
    """For each label, the threshold with the best F1: midway between two neighbouring figures.

    probabilities: (pictures, labels), 0..1. Returns (labels,) float64; 0.5 where nothing is true.
    """
    values, true = _pair(probabilities, truth)
    given = np.arange(1, len(values) + 1)
    limits = np.full(values.shape[1], 0.5)
    for label in np.flatnonzero(true.any(axis=0)):
        order = np.argsort(-values[:, label], kind="stable")
        hits, ranked = true[order, label], values[order, label].astype(np.float64)
        f1 = 2 * np.cumsum(hits) / (given + hits.sum())
        below = np.append(ranked[1:], 0.0)
        f1[ranked == below] = 0  # no threshold lies between equal figures
        best = f1.argmax()
        limits[label] = (ranked[best] + below[best]) / 2
    return limits


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


def _pair(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.floating], Bools]:
    values, true = np.asarray(scores), np.asarray(truth).astype(bool)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if values.shape != true.shape or values.ndim != 2:
        raise ValueError(f"scores {values.shape} and truth {true.shape} must be alike, 2 axes each")
    return values, true
