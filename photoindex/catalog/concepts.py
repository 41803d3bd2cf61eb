"""Open-set concepts: what describes them, and what they gave on stored photos."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import analysed, analysed_count, extent
from photoindex.catalog.columns import now_text
from photoindex.catalog.database import Database
from photoindex.catalog.ids import AMONG, as_ids, listed
from photoindex.catalog.models import (
    active_model,
    find_model,
    need_model,
    need_tag,
    same_name,
)
from photoindex.catalog.postings import Figures, amend, drop_tag
from photoindex.catalog.recording import CONCEPT_FLOOR, put_unscored
from photoindex.catalog.records import ConceptEmbeddings, ConceptRecord, NewConcept
from photoindex.catalog.shown import Shown
from photoindex.catalog.tokens import pack_floats
from photoindex.catalog.verdicts import Verdicts, put_verdicts
from photoindex.errors import ConceptError, UsageError
from photoindex.photo import Source
from photoindex.tagger import Concept, Floats, Ids, LabelEmbeddings

MOST_DESCRIPTIONS = 100_000
"""Of all concepts of a library together: whoever analyses photos holds their embeddings, 200 MB."""

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
_EMBEDDED = """
    SELECT concept_id, length(embeddings) / 4 FROM concept_embeddings
    WHERE model_id = ? ORDER BY concept_id"""
_EMBEDDINGS = """
    SELECT tags.name, embeddings, count
    FROM concept_embeddings CROSS JOIN concepts ON concepts.id = concept_id
    CROSS JOIN tags ON tags.id = tag_id
    WHERE model_id = ? ORDER BY concept_id"""
_COUNTS = """
    SELECT tags.name, count
    FROM concept_embeddings CROSS JOIN concepts ON concepts.id = concept_id
    CROSS JOIN tags ON tags.id = tag_id
    WHERE model_id = ?"""
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
        absent from `photo_ids`, become `unscored`. Raises NothingFound for an unknown model, and
        ConceptError where the library has no room for so many descriptions.
        """
        prepared = _prepared(concepts)
        widths = {new.model_id: new.labels.embeddings.shape[1] for new in concepts}
        with self._database.write() as connection:
            before = {key: _numbers(connection, key) for key in widths}
            _put_verdicts(
                connection,
                [(_put_concept(connection, new.concept), new, said) for new, said in prepared],
            )
            for model_id, width in widths.items():
                now = _numbers(connection, model_id)
                if now > before[model_id] and now > MOST_DESCRIPTIONS * width:
                    raise _no_room(now // width)

    def follow(self, concepts: Sequence[NewConcept]) -> None:
        """Add what another model gives for concepts that are kept already.

        One that was removed or described otherwise meanwhile stays so, and a threshold or Chinese
        name as well. Raises NothingFound for an unknown model.
        """
        prepared = _prepared(concepts)
        with self._database.write() as connection:
            _put_verdicts(
                connection,
                [
                    (known, new, said)
                    for new, said in prepared
                    if (known := _same_concept(connection, new.concept)) is not None
                ],
            )

    def see_room(self, model_id: str, counts: Mapping[str, int]) -> None:
        """Raise ConceptError where a library has no room for some concepts' descriptions.

        counts: concept name → how many there are to be; those of that name now give way.
        """
        coming = {same_name(name) for name in counts}
        with self._database.read() as connection:
            rows = connection.execute(_COUNTS, (find_model(connection, model_id),))
            held = [(same_name(name) in coming, int(count)) for name, count in rows]
        staying = sum(count for leaves, count in held if not leaves)
        total = staying + sum(counts.values())
        if total > MOST_DESCRIPTIONS and total > sum(count for _, count in held):
            raise _no_room(total)

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

    def embedded(self, model_id: str) -> Ids:
        """The concepts that a model made label embeddings of, ascending.

        Cheap to ask for: while they are the same, so are their `embeddings`.
        """
        with self._database.read() as connection:
            sizes = connection.execute(_EMBEDDED, (find_model(connection, model_id),))
            return np.array([concept for concept, _ in sizes], dtype=np.int64)

    def embeddings(self, model_id: str) -> ConceptEmbeddings | None:
        """The label embeddings that a model made of the concepts; None when it made none."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            sizes = connection.execute(_EMBEDDED, (model,)).fetchall()
            if not sizes:
                return None
            ids = np.array([concept for concept, _ in sizes], dtype=np.int64)
            numbers = np.empty(sum(size for _, size in sizes), dtype=np.float32)
            names: list[str] = []
            counts: list[int] = []
            end = 0
            for name, blob, count in connection.execute(_EMBEDDINGS, (model,)):
                part = np.frombuffer(blob, dtype="<f4")
                numbers[end : end + len(part)] = part
                end += len(part)
                names.append(name)
                counts.append(count)
        labels = LabelEmbeddings(
            tuple(names),
            numbers.reshape(sum(counts), -1),
            np.array(counts, dtype=np.int64),
        )
        return ConceptEmbeddings(ids, labels)

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


_Prepared = list[tuple[NewConcept, Verdicts]]


def _prepared(concepts: Sequence[NewConcept]) -> _Prepared:
    return [(new, _verdicts(new, new.concept.threshold)) for new in concepts]


def _verdicts(new: NewConcept, threshold: float) -> Verdicts:
    return Verdicts.of(new.photo_ids, new.probabilities, min(CONCEPT_FLOOR, threshold))


def _put_verdicts(
    connection: sqlite3.Connection, verdicts: Iterable[tuple[int, NewConcept, Verdicts]]
) -> None:
    """What a model makes of some concepts, over whatever it made of them before.

    verdicts: the concept's row, and what it gave.
    """
    by_model: dict[str, list[tuple[int, NewConcept, Verdicts]]] = {}
    for one in verdicts:
        by_model.setdefault(one[1].model_id, []).append(one)
    for model_id, some in by_model.items():
        model = need_model(connection, model_id)
        known = np.flatnonzero(analysed(connection, model, extent(connection)))
        # Concepts of one file were scored on the same photos, in one array: looked at once.
        arrays = {id(new.photo_ids): new.photo_ids for _, new, _ in some}
        lost = {key: np.setdiff1d(ids, known) for key, ids in arrays.items()}
        missing = {key: np.setdiff1d(known, ids).tolist() for key, ids in arrays.items()}
        said: list[tuple[int, Verdicts]] = []
        for concept, new, ready in some:
            tag_id, threshold = connection.execute(_TAG_OF, (concept,)).fetchone()
            if connection.execute(_IS_EMBEDDED, (concept, model)).fetchone() is not None:
                drop_tag(connection, tag_id, Source.CONCEPT, model)
                connection.execute(_DROP_WAITING, (concept, model))
            rows = new.labels.embeddings
            connection.execute(_PUT_EMBEDDINGS, (concept, model, pack_floats(rows), len(rows)))
            if ready.floor != min(CONCEPT_FLOOR, threshold):  # changed meanwhile
                ready = _verdicts(new, threshold)
            key = id(new.photo_ids)
            said.append((tag_id, ready.without(lost[key])))
            put_unscored(connection, model, ((concept, photo) for photo in missing[key]))
        put_verdicts(connection, model, said)


def _numbers(connection: sqlite3.Connection, model_id: str) -> int:
    """How many numbers the embeddings of all concepts by a model have."""
    model = find_model(connection, model_id)
    return sum(size for _, size in connection.execute(_EMBEDDED, (model,)))


def _no_room(count: int) -> ConceptError:
    return ConceptError(
        f"the concepts of this library would have {count:,} descriptions (or prompt templates):"
        f" {MOST_DESCRIPTIONS:,} are the most; describe them more briefly, or remove concepts that"
        " you do not need: photoindex concepts remove NAME"
    )


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
