"""Few photos with everything that is said of them: the rule of shown.py, photo by photo."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from photoindex.catalog.ids import AMONG, listed
from photoindex.catalog.models import active_model
from photoindex.catalog.postings import photos_near
from photoindex.catalog.shown import reaches
from photoindex.photo import Source

_ANALYSES = """
    SELECT analyses.photo_id, analyses.model_id, tag_ids, probabilities
    FROM json_each(?) AS asked CROSS JOIN analyses ON analyses.photo_id = asked.value
    LEFT JOIN analysis_tags ON analysis_tags.analysis_id = analyses.id"""
_ANALYSED = """
    SELECT photo_id FROM json_each(?) AS asked CROSS JOIN analyses ON photo_id = asked.value
    WHERE model_id = ?"""
_THRESHOLDS = f"SELECT tag_id, threshold FROM vocabulary WHERE model_id = ? AND tag_id {AMONG}"
_CONCEPTS = "SELECT tag_id, threshold FROM concepts"
_MODELS = "SELECT id FROM models"
_PEOPLE = f"SELECT photo_id, tag_id, probability, source FROM photo_tags WHERE photo_id {AMONG}"


@dataclass(frozen=True, slots=True)
class Said:
    """What one source says of one photo and one tag; the model is its row."""

    photo_id: int
    tag_id: int
    probability: float
    threshold: float | None
    source: Source
    model: int | None


def shown_on(connection: sqlite3.Connection, photo_ids: Sequence[int]) -> list[Said]:
    """What is shown on some photos, a tag as often as it has sources."""
    said = said_of(connection, photo_ids)
    active = active_model(connection)
    analysed = _analysed(connection, photo_ids, active)
    taken = {(one.photo_id, one.tag_id) for one in said if one.probability == 0 and _by_user(one)}
    return [
        one
        for one in said
        if (one.photo_id, one.tag_id) not in taken
        and (one.threshold is None or reaches(one.probability, one.threshold))
        and (one.model is None or one.model == active or one.photo_id not in analysed)
    ]


def said_of(connection: sqlite3.Connection, photo_ids: Sequence[int]) -> list[Said]:
    """All that is stored of some photos, shown or not."""
    asked = listed(photo_ids)
    return [
        *_by_models(connection, asked),
        *_by_concepts(connection, photo_ids),
        *(
            Said(photo_id, tag_id, probability, None, Source(source), None)
            for photo_id, tag_id, probability, source in connection.execute(_PEOPLE, (asked,))
        ),
    ]


def _by_models(connection: sqlite3.Connection, asked: str) -> Iterator[Said]:
    by_model: dict[int, list[tuple[int, list[int], list[float]]]] = {}
    for photo_id, model, tag_ids, probabilities in connection.execute(_ANALYSES, (asked,)):
        if tag_ids:
            tags = np.frombuffer(tag_ids, dtype="<u4").tolist()
            values = np.frombuffer(probabilities, dtype="<f8").tolist()
            by_model.setdefault(model, []).append((photo_id, tags, values))
    for model, photos in by_model.items():
        named = listed({tag_id for _, tags, _ in photos for tag_id in tags})
        thresholds = dict(connection.execute(_THRESHOLDS, (model, named)))
        for photo_id, tags, values in photos:
            for tag_id, value in zip(tags, values, strict=True):
                if tag_id in thresholds:
                    yield Said(photo_id, tag_id, value, thresholds[tag_id], Source.MODEL, model)


def _by_concepts(connection: sqlite3.Connection, photo_ids: Sequence[int]) -> Iterator[Said]:
    thresholds = dict(connection.execute(_CONCEPTS))
    if not thresholds:
        return
    models = [model for (model,) in connection.execute(_MODELS)]
    asked = np.unique(np.array(photo_ids, dtype=np.int64))
    for part in photos_near(connection, Source.CONCEPT, thresholds, models, asked):
        _, rows, _ = np.intersect1d(part.photo_ids, asked, assume_unique=True, return_indices=True)
        for row in rows.tolist():
            yield Said(
                int(part.photo_ids[row]),
                part.tag_id,
                float(part.probabilities[row]),
                thresholds[part.tag_id],
                Source.CONCEPT,
                part.model_id,
            )


def _analysed(
    connection: sqlite3.Connection, photo_ids: Sequence[int], model: int | None
) -> set[int]:
    rows = connection.execute(_ANALYSED, (listed(photo_ids), model))
    return {photo_id for (photo_id,) in rows}


def _by_user(one: Said) -> bool:
    return one.source is Source.USER
