"""What the scores of a benchmark come to at given thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ram_tagger.evaluation.metrics import PrecisionRecall, average_precisions, precision_recall
from ram_tagger.evaluation.scores import Scores
from ram_tagger.evaluation.thresholds import Thresholds, first_columns


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Precision, recall and F1, each 0..1."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def mean(cls, found: PrecisionRecall) -> AtThreshold:
        """The means over labels."""
        return cls(found.precision, found.recall, found.f1)

    @classmethod
    def each(cls, found: PrecisionRecall) -> list[AtThreshold]:
        """One for each label."""
        columns = (found.precisions, found.recalls, found.f1s)
        return [cls(*map(float, row)) for row in zip(*columns, strict=True)]

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(frozen=True, slots=True)
class TagFigures:
    """One tag: of how many pictures it is true, and to how many it was given.

    average_precisions: one for each time that the tag stands in the list. given, at and threshold
    are None where there are no thresholds.
    """

    tag: str
    true: int
    average_precisions: tuple[float, ...]
    given: int | None
    at: AtThreshold | None
    threshold: float | None

    @property
    def average_precision(self) -> float:
        """The mean over the tag's places in the list, nearly always one."""
        return sum(self.average_precisions) / len(self.average_precisions)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        at = self.at.to_json() if self.at else dict.fromkeys(("precision", "recall", "f1"))
        return {
            "tag": self.tag,
            "true": self.true,
            "given": self.given,
            "average_precision": self.average_precision,
            "average_precisions": list(self.average_precisions),
            **at,
            "threshold": self.threshold,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a benchmark.

    mean_average_precision: over all lines of the tag list, as published: a tag listed twice counts
    twice, and one that is true of no picture counts as 0. mean: over tags, a tag listed twice
    counting once, by its first column (the published CP and CR). overall: all pairs of a picture
    and a tag as one (OP, OR, OF1). mean and overall are None where there are no thresholds.
    """

    benchmark: str
    model_id: str
    by: str
    open_set: bool
    pictures: int
    unreadable: tuple[str, ...]
    mean_average_precision: float
    mean: AtThreshold | None
    overall: AtThreshold | None
    tags: tuple[TagFigures, ...]

    @classmethod
    def of(cls, scores: Scores, thresholds: ArrayLike | None = None) -> Report:
        """The report on scores, at (tags,) thresholds, by default those that the scores hold."""
        limits = np.asarray(scores.thresholds if thresholds is None else thresholds)
        averages = average_precisions(scores.values, scores.truth)
        found = None if np.isnan(limits).any() else first_found(scores, limits)
        return cls(
            benchmark=scores.benchmark,
            model_id=scores.model_id,
            by=scores.by,
            open_set=bool(scores.descriptions),
            pictures=len(scores.called),
            unreadable=scores.unreadable,
            mean_average_precision=float(averages.mean()),
            mean=AtThreshold.mean(found) if found else None,
            overall=AtThreshold.mean(found.overall) if found else None,
            tags=_tags(scores, limits, averages.tolist(), found),
        )

    @property
    def weakest(self) -> tuple[TagFigures, ...]:
        """The tags that are true of a picture, the lowest average precision first."""
        measured = (tag for tag in self.tags if tag.true)
        return tuple(sorted(measured, key=lambda tag: tag.average_precision))

    @property
    def never_true(self) -> int:
        """How many tags are true of no picture, so that nothing is measured of them."""
        return sum(not tag.true for tag in self.tags)

    def to_json(self) -> dict[str, Any]:
        """The report as plain tables; its keys stay, new ones may be added."""
        return {
            "benchmark": self.benchmark,
            "model": self.model_id,
            "by": self.by,
            "open_set": self.open_set,
            "pictures": self.pictures,
            "unreadable": list(self.unreadable),
            "never_true": self.never_true,
            "mean_average_precision": self.mean_average_precision,
            "mean": self.mean.to_json() if self.mean else None,
            "overall": self.overall.to_json() if self.overall else None,
            "tags": [tag.to_json() for tag in self.tags],
        }


def first_found(scores: Scores, limits: ArrayLike) -> PrecisionRecall:
    """Precision and recall of each tag, once: of one that is listed twice, by its first column.

    limits: (tags,) for all columns, compared in float32 as RamTagger does.
    """
    first = first_columns(scores.tags)
    chosen = np.asarray(limits)[first].astype(np.float32)
    return precision_recall(scores.values[:, first], scores.truth[:, first], chosen)


def _tags(
    scores: Scores,
    limits: Thresholds,
    averages: list[float],
    found: PrecisionRecall | None,
) -> tuple[TagFigures, ...]:
    places: dict[str, list[int]] = {}
    for column, tag in enumerate(scores.tags):
        places.setdefault(tag, []).append(column)
    true = scores.truth.sum(axis=0)
    at = AtThreshold.each(found) if found else None
    return tuple(
        TagFigures(
            tag=tag,
            true=int(true[columns[0]]),
            average_precisions=tuple(averages[column] for column in columns),
            given=int(found.given[row]) if found else None,
            at=at[row] if at else None,
            threshold=float(limits[columns[0]]) if found else None,
        )
        for row, (tag, columns) in enumerate(places.items())
    )
