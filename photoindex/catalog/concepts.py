"""Open-set concepts: what describes them, and what they gave on stored photos."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import (
    Connection,
    ScalarSelect,
    Select,
    delete,
    distinct,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from photoindex.catalog.database import Database
from photoindex.catalog.ids import among, as_ids
from photoindex.catalog.models import active_model, find_model, need_model, need_tag
from photoindex.catalog.recording import CONCEPT_FLOOR, put_figures, put_unscored
from photoindex.catalog.records import ConceptEmbeddings, ConceptRecord, NewConcept
from photoindex.catalog.schema import (
    AnalysisRow,
    ConceptEmbedding,
    ConceptRow,
    PhotoTagRow,
    TagRow,
    Unscored,
    VocabularyEntry,
)
from photoindex.catalog.shown import Narrowing, figures, held
from photoindex.catalog.tokens import pack_floats, unpack_floats
from photoindex.errors import UsageError
from photoindex.photo import Source
from photoindex.tagger import Concept, Floats, Ids, LabelEmbeddings


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
        return self._records(_with_names().order_by(TagRow.name))

    def get(self, name: str) -> ConceptRecord | None:
        """One concept by its English name, in any case."""
        return next(iter(self._records(_with_names().where(TagRow.name == name))), None)

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
            connection.execute(
                update(ConceptRow).where(ConceptRow.id == concept).values(threshold=threshold)
            )
            return True

    def embeddings(self, model_id: str) -> ConceptEmbeddings | None:
        """The label embeddings that a model made of the concepts; None when it made none."""
        query = (
            select(ConceptRow.id, TagRow.name, ConceptEmbedding.embeddings, ConceptEmbedding.count)
            .join(TagRow, TagRow.id == ConceptRow.tag_id)
            .join(ConceptEmbedding)
            .order_by(ConceptRow.id)
        )
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            rows = connection.execute(query.where(ConceptEmbedding.model_id == model)).all()
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
            embedded = exists().where(
                ConceptEmbedding.concept_id == ConceptRow.id, ConceptEmbedding.model_id == model
            )
            rows = connection.execute(_with_names().where(~embedded).order_by(TagRow.name))
            return tuple(_concept(row) for row in rows)

    def unscored(self, model_id: str) -> dict[int, Ids]:
        """Concept id → photos analysed without it, because the two came at the same time."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            pairs = connection.execute(
                select(Unscored.concept_id, Unscored.photo_id)
                .where(Unscored.model_id == model)
                .order_by(Unscored.concept_id, Unscored.photo_id)
            ).all()
        found: dict[int, list[int]] = {}
        for concept, photo_id in pairs:
            found.setdefault(concept, []).append(photo_id)
        return {concept: np.array(ids, dtype=np.int64) for concept, ids in found.items()}

    def score(self, concept_id: int, model_id: str, photo_ids: Ids, probabilities: Floats) -> None:
        """Add a concept's probabilities on some `unscored` photos, (n,) each.

        Nothing happens when the concept is gone by now.
        """
        with self._database.write() as connection:
            model = need_model(connection, model_id)
            waiting = as_ids(
                connection.execute(
                    select(Unscored.photo_id).where(
                        Unscored.concept_id == concept_id, Unscored.model_id == model
                    )
                )
            )
            due = np.isin(photo_ids, waiting)
            if not due.any():
                return
            ids = photo_ids[due]
            _put_scores(connection, concept_id, model, ids, probabilities[due])
            connection.execute(
                _embedding_of(concept_id, model, delete(Unscored), Unscored).where(
                    among(Unscored.photo_id, ids)
                )
            )

    def _records(self, query: Select[Any]) -> tuple[ConceptRecord, ...]:
        with self._database.read() as connection:
            active = active_model(connection)
            counted = query.add_columns(_matched(active), _scored(active))
            return tuple(
                ConceptRecord(row.id, _concept(row), row.matched, row.scored)
                for row in connection.execute(counted)
            )


def _with_names() -> Any:
    return select(
        ConceptRow.id,
        TagRow.name,
        func.coalesce(ConceptRow.name_zh, TagRow.name_zh).label("name_zh"),
        ConceptRow.descriptions,
        ConceptRow.threshold,
    ).join(TagRow, TagRow.id == ConceptRow.tag_id)


def _concept(row: Any) -> Concept:
    return Concept(row.name, tuple(row.descriptions), row.threshold, row.name_zh)


def _matched(active: int | None) -> Any:
    """The photos that show a concept's own verdict now."""
    rows = figures(Narrowing(), active, sources=(Source.CONCEPT,)).c
    return (
        select(func.count(distinct(rows.photo_id)))
        .where(rows.tag_id == ConceptRow.tag_id, held(rows.photo_id))
        .correlate(ConceptRow)
        .scalar_subquery()
        .label("matched")
    )


def _scored(active: int | None) -> Any:
    """The photos on which the active model has scored a concept."""
    waiting: ScalarSelect[int] = (
        select(func.count())
        .select_from(Unscored)
        .where(Unscored.concept_id == ConceptRow.id, Unscored.model_id == active)
        .correlate(ConceptRow)
        .scalar_subquery()
    )
    return (
        (
            select(func.count(AnalysisRow.id) - waiting)
            .where(
                AnalysisRow.model_id == active,
                exists().where(
                    ConceptEmbedding.concept_id == ConceptRow.id,
                    ConceptEmbedding.model_id == active,
                ),
            )
            .correlate(ConceptRow)
        )
        .scalar_subquery()
        .label("scored")
    )


def _find(connection: Connection, name: str) -> int | None:
    query = select(ConceptRow.id).join(TagRow, TagRow.id == ConceptRow.tag_id)
    return connection.execute(query.where(TagRow.name == name)).scalar_one_or_none()


def _put_concept(connection: Connection, concept: Concept) -> int:
    """The row of a concept; one whose descriptions changed is a new row, the old one dropped."""
    same = _same_concept(connection, concept)
    if same is not None:
        connection.execute(
            update(ConceptRow)
            .where(ConceptRow.id == same)
            .values(threshold=concept.threshold, name_zh=concept.name_zh)
        )
        return same
    other = _find(connection, concept.name)
    if other is not None:
        _drop(connection, other)
    return connection.execute(
        insert(ConceptRow)
        .values(
            tag_id=need_tag(connection, concept.name),
            name_zh=concept.name_zh,
            threshold=concept.threshold,
            descriptions=list(concept.descriptions),
            created_at=datetime.now(UTC),
        )
        .returning(ConceptRow.id)
    ).scalar_one()


def _same_concept(connection: Connection, concept: Concept) -> int | None:
    """The row of a concept of this name with the same descriptions."""
    known = connection.execute(_with_names().where(TagRow.name == concept.name)).first()
    if known is None or tuple(known.descriptions) != concept.descriptions:
        return None
    return int(known.id)


def _put_verdicts(connection: Connection, concept: int, model: int, new: NewConcept) -> None:
    """What a model makes of a concept, over whatever it made of it before."""
    connection.execute(_embedding_of(concept, model, delete(ConceptEmbedding), ConceptEmbedding))
    connection.execute(
        insert(ConceptEmbedding).values(
            concept_id=concept,
            model_id=model,
            embeddings=pack_floats(new.labels.embeddings),
            count=len(new.labels.embeddings),
        )
    )
    _drop_figures(connection, concept, model)
    analysed = _analysed(connection, model)
    there = np.isin(new.photo_ids, analysed)
    _put_scores(connection, concept, model, new.photo_ids[there], new.probabilities[there])
    connection.execute(_embedding_of(concept, model, delete(Unscored), Unscored))
    missing = np.setdiff1d(analysed, new.photo_ids)
    put_unscored(connection, model, [(concept, int(one)) for one in missing])


def _drop(connection: Connection, concept: int) -> None:
    """Delete a concept, its figures, and its name where nothing else uses that."""
    tag_id = _tag_of(connection, concept)
    _drop_figures(connection, concept)
    connection.execute(delete(ConceptRow).where(ConceptRow.id == concept))
    used = exists().where(PhotoTagRow.tag_id == TagRow.id) | exists().where(
        VocabularyEntry.tag_id == TagRow.id
    )
    connection.execute(delete(TagRow).where(TagRow.id == tag_id, ~used))


def _drop_figures(connection: Connection, concept: int, model: int | None = None) -> None:
    statement = delete(PhotoTagRow).where(
        PhotoTagRow.tag_id == _tag_of(connection, concept), PhotoTagRow.source == Source.CONCEPT
    )
    if model is not None:
        statement = statement.where(PhotoTagRow.model_id == model)
    connection.execute(statement)


def _tag_of(connection: Connection, concept: int) -> int:
    return connection.execute(
        select(ConceptRow.tag_id).where(ConceptRow.id == concept)
    ).scalar_one()


def _embedding_of(concept: int, model: int, statement: Any, table: Any) -> Any:
    return statement.where(table.concept_id == concept, table.model_id == model)


def _analysed(connection: Connection, model: int) -> Ids:
    return as_ids(
        connection.execute(select(AnalysisRow.photo_id).where(AnalysisRow.model_id == model))
    )


def _put_scores(
    connection: Connection, concept: int, model: int, photo_ids: Ids, probabilities: Floats
) -> None:
    """Write what is above the floor."""
    tag_id, threshold = connection.execute(
        select(ConceptRow.tag_id, ConceptRow.threshold).where(ConceptRow.id == concept)
    ).one()
    kept = probabilities >= min(CONCEPT_FLOOR, threshold)
    put_figures(
        connection,
        model,
        (
            (int(photo_id), tag_id, Source.CONCEPT, float(probability))
            for photo_id, probability in zip(photo_ids[kept], probabilities[kept], strict=True)
        ),
    )
