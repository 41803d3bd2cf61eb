"""Open-set concepts: what describes them, and what they gave on stored photos."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import analysed, analysed_count, extent
from photoindex.catalog.columns import now_text
from photoindex.catalog.database import Database
from photoindex.catalog.ids import AMONG, as_ids, listed
from photoindex.catalog.models import active_model, find_model, need_model, need_tag
from photoindex.catalog.postings import Figures, amend, drop_tag
from photoindex.catalog.recording import CONCEPT_FLOOR, put_unscored
from photoindex.catalog.records import ConceptEmbeddings, ConceptRecord, NewConcept
from photoindex.catalog.shown import Shown
from photoindex.catalog.tokens import pack_floats, unpack_floats
from photoindex.errors import UsageError
from photoindex.photo import Source
from photoindex.tagger import Concept, Floats, Ids, LabelEmbeddings

_CONCEPTS = """
    SELECT concepts.id, tag_id, tags.name, coalesce(concepts.name_zh, tags.name_zh),
    descriptions, threshold
    FROM concepts JOIN tags ON tags.id = tag_id"""
_ALL = f"{_CONCEPTS} ORDER BY tags.name"
_NAMED = f"{_CONCEPTS} WHERE tags.name = ?"
_WITHOUT = f"""{_CONCEPTS}
    WHERE NOT EXISTS (
        SELECT 1 FROM concept_embeddings WHERE concept_id = concepts.id AND model_id = ?
    )
    ORDER BY tags.name"""
_EMBEDDINGS = """
    SELECT concepts.id, tags.name, embeddings, count
    FROM concepts JOIN tags ON tags.id = tag_id
    JOIN concept_embeddings ON concept_id = concepts.id
    WHERE model_id = ? ORDER BY concepts.id"""
_PUT = """
    INSERT INTO concepts (tag_id, name_zh, threshold, descriptions, created_at)
    VALUES (?, ?, ?, ?, ?) RETURNING id"""
_RENEW = "UPDATE concepts SET threshold = ?, name_zh = ? WHERE id = ?"
_SET_THRESHOLD = "UPDATE concepts SET threshold = ? WHERE id = ?"
_PUT_EMBEDDINGS = """
    INSERT OR REPLACE INTO concept_embeddings (concept_id, model_id, embeddings, count)
    VALUES (?, ?, ?, ?)"""
_IS_EMBEDDED = "SELECT 1 FROM concept_embeddings WHERE concept_id = ? AND model_id = ?"
_TAG_OF = "SELECT tag_id, threshold FROM concepts WHERE id = ?"
_DROP = "DELETE FROM concepts WHERE id = ?"
_DROP_NAME = """
    DELETE FROM tags WHERE id = :tag
    AND NOT EXISTS (SELECT 1 FROM photo_tags WHERE tag_id = :tag)
    AND NOT EXISTS (SELECT 1 FROM vocabulary WHERE tag_id = :tag)"""
_UNSCORED = """
    SELECT concept_id, photo_id FROM unscored WHERE model_id = ? ORDER BY concept_id, photo_id"""
_WAITING = "SELECT photo_id FROM unscored WHERE concept_id = ? AND model_id = ?"
_WAITING_COUNT = "SELECT count(*) FROM unscored WHERE concept_id = ? AND model_id = ?"
_DROP_WAITING = "DELETE FROM unscored WHERE concept_id = ? AND model_id = ?"


class Concepts:
    """Concepts by name. A concept may share its name with a tag of a vocabulary."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, concepts: Sequence[NewConcept]) -> None:
        """Keep scored concepts: all of them or none.

        A concept of the same name is replaced. Where its descriptions are the same, what other
        models gave stays: so a concept follows a change of model. Photos analysed meanwhile,
        absent from `photo_ids`, become `unscored`. Raises NothingFound for an unknown model.
        """
        with self._database.write() as connection:
            for new in concepts:
                model = need_model(connection, new.model_id)
                _put_verdicts(connection, _put_concept(connection, new.concept), model, new)

    def follow(self, concepts: Sequence[NewConcept]) -> None:
        """Add what another model gives for concepts that are kept already.

        One that was removed or described otherwise meanwhile stays so, and a threshold or Chinese
        name as well. Raises NothingFound for an unknown model.
        """
        with self._database.write() as connection:
            for new in concepts:
                model = need_model(connection, new.model_id)
                known = _same_concept(connection, new.concept)
                if known is not None:
                    _put_verdicts(connection, known, model, new)

    def all(self) -> tuple[ConceptRecord, ...]:
        """Every concept, by name."""
        with self._database.read() as connection:
            return _records(connection, connection.execute(_ALL).fetchall())

    def get(self, name: str) -> ConceptRecord | None:
        """One concept by its English name, in any case."""
        with self._database.read() as connection:
            rows = connection.execute(_NAMED, (name,)).fetchall()
            return next(iter(_records(connection, rows)), None)

    def remove(self, name: str) -> bool:
        """Forget a concept and what it gave; tags of people stay. False if there is none."""
        with self._database.write() as connection:
            concept = _find(connection, name)
            if concept is None:
                return False
            _drop(connection, concept)
            return True

    def set_threshold(self, name: str, threshold: float) -> bool:
        """Hold a concept's probabilities against another threshold from now on.

        Nothing is scored again. False if there is no such concept. Raises UsageError for a
        threshold under what is kept of concepts, or over 1.
        """
        if not CONCEPT_FLOOR <= threshold <= 1:
            raise UsageError(
                f"a concept's threshold lies between {CONCEPT_FLOOR} and 1, not at {threshold}:"
                " lower probabilities are not kept"
            )
        with self._database.write() as connection:
            concept = _find(connection, name)
            if concept is None:
                return False
            connection.execute(_SET_THRESHOLD, (threshold, concept))
            return True

    def embeddings(self, model_id: str) -> ConceptEmbeddings | None:
        """The label embeddings that a model made of the concepts; None when it made none."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            rows = connection.execute(_EMBEDDINGS, (model,)).fetchall()
        if not rows:
            return None
        width = len(rows[0][2]) // 4 // rows[0][3]
        return ConceptEmbeddings(
            np.array([row[0] for row in rows], dtype=np.int64),
            LabelEmbeddings(
                tuple(row[1] for row in rows),
                unpack_floats(b"".join(row[2] for row in rows), width),
                np.array([row[3] for row in rows], dtype=np.int64),
            ),
        )

    def without_embeddings(self, model_id: str) -> tuple[Concept, ...]:
        """The concepts that a model has not embedded yet: `add` them scored by it."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            return tuple(_concept(row) for row in connection.execute(_WITHOUT, (model,)))

    def unscored(self, model_id: str) -> dict[int, Ids]:
        """Concept id → photos analysed without it, because the two came at the same time."""
        found: dict[int, list[int]] = {}
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            for concept, photo_id in connection.execute(_UNSCORED, (model,)):
                found.setdefault(concept, []).append(photo_id)
        return {concept: np.array(ids, dtype=np.int64) for concept, ids in found.items()}

    def score(self, concept_id: int, model_id: str, photo_ids: Ids, probabilities: Floats) -> None:
        """Add a concept's probabilities on some `unscored` photos, (n,) each.

        Nothing happens when the concept is gone by now.
        """
        with self._database.write() as connection:
            model = need_model(connection, model_id)
            waiting = as_ids(connection.execute(_WAITING, (concept_id, model)))
            due = np.isin(photo_ids, waiting)
            if not due.any():
                return
            ids = photo_ids[due]
            _put_scores(connection, concept_id, model, ids, probabilities[due])
            connection.execute(
                f"{_DROP_WAITING} AND photo_id {AMONG}", (concept_id, model, listed(ids))
            )


_Row = tuple[Any, ...]  # as _CONCEPTS selects them


def _records(connection: sqlite3.Connection, rows: Iterable[_Row]) -> tuple[ConceptRecord, ...]:
    """With how many photos show each now, and on how many the active model has scored it."""
    active, shown = active_model(connection), Shown(connection)
    live = moments.live(connection, shown.size)
    return tuple(
        ConceptRecord(
            row[0],
            _concept(row),
            int(np.count_nonzero(shown.by_concept(row[1]) & live)),
            _scored(connection, row[0], active),
        )
        for row in rows
    )


def _concept(row: _Row) -> Concept:
    _, _, name, name_zh, descriptions, threshold = row
    return Concept(name, tuple(json.loads(descriptions)), threshold, name_zh)


def _scored(connection: sqlite3.Connection, concept: int, active: int | None) -> int:
    """On how many photos the active model has scored a concept."""
    if connection.execute(_IS_EMBEDDED, (concept, active)).fetchone() is None:
        return 0
    (waiting,) = connection.execute(_WAITING_COUNT, (concept, active)).fetchone()
    return analysed_count(connection, active) - int(waiting)


def _find(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute(_NAMED, (name,)).fetchone()
    return None if row is None else int(row[0])


def _put_concept(connection: sqlite3.Connection, concept: Concept) -> int:
    """The row of a concept; one whose descriptions changed is a new row, the old one dropped."""
    same = _same_concept(connection, concept)
    if same is not None:
        connection.execute(_RENEW, (concept.threshold, concept.name_zh, same))
        return same
    other = _find(connection, concept.name)
    if other is not None:
        _drop(connection, other)
    row = (
        need_tag(connection, concept.name),
        concept.name_zh,
        concept.threshold,
        json.dumps(list(concept.descriptions)),
        now_text(),
    )
    return int(connection.execute(_PUT, row).fetchone()[0])


def _same_concept(connection: sqlite3.Connection, concept: Concept) -> int | None:
    """The row of a concept of this name with the same descriptions."""
    row = connection.execute(_NAMED, (concept.name,)).fetchone()
    if row is None or _concept(row).descriptions != concept.descriptions:
        return None
    return int(row[0])


def _put_verdicts(
    connection: sqlite3.Connection, concept: int, model: int, new: NewConcept
) -> None:
    """What a model makes of a concept, over whatever it made of it before."""
    embeddings = new.labels.embeddings
    connection.execute(_PUT_EMBEDDINGS, (concept, model, pack_floats(embeddings), len(embeddings)))
    tag_id, _ = connection.execute(_TAG_OF, (concept,)).fetchone()
    drop_tag(connection, tag_id, Source.CONCEPT, model)
    known = np.flatnonzero(analysed(connection, model, extent(connection)))
    there = np.isin(new.photo_ids, known)
    _put_scores(connection, concept, model, new.photo_ids[there], new.probabilities[there])
    connection.execute(_DROP_WAITING, (concept, model))
    missing = np.setdiff1d(known, new.photo_ids)
    put_unscored(connection, model, ((concept, photo_id) for photo_id in missing.tolist()))


def _drop(connection: sqlite3.Connection, concept: int) -> None:
    """Delete a concept, its figures, and its name where nothing else uses that."""
    tag_id, _ = connection.execute(_TAG_OF, (concept,)).fetchone()
    drop_tag(connection, tag_id, Source.CONCEPT)
    connection.execute(_DROP, (concept,))
    connection.execute(_DROP_NAME, {"tag": tag_id})


def _put_scores(
    connection: sqlite3.Connection,
    concept: int,
    model: int,
    photo_ids: Ids,
    probabilities: Floats,
) -> None:
    """Write what is above the floor."""
    tag_id, threshold = connection.execute(_TAG_OF, (concept,)).fetchone()
    kept = probabilities >= min(CONCEPT_FLOOR, threshold)
    ids = photo_ids[kept]
    figures = Figures.of(np.full(len(ids), tag_id), ids, probabilities[kept])
    amend(connection, Source.CONCEPT, model, Figures.none(), figures)
