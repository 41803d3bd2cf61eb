"""The models that have been used in a library, and what each can say."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert

from photoindex.catalog.database import Database
from photoindex.catalog.records import ModelRecord
from photoindex.catalog.schema import AnalysisRow, Model, TagRow, VocabularyEntry
from photoindex.errors import LibraryError, NothingFound
from photoindex.tagger import TagName


class Models:
    """Models by their `model_id`; at most one is active: the one that tags new photos."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self, model_id: str, name: str, embedding_size: int, vocabulary: Sequence[TagName]
    ) -> None:
        """Make a model and its vocabulary known; of a known one, take over changed thresholds."""
        with self._database.write() as connection:
            known = find_model(connection, model_id)
            if known is not None:
                _put_thresholds(connection, known, vocabulary)
                return
            model = connection.execute(
                insert(Model).values(
                    model_id=model_id,
                    name=name,
                    embedding_size=embedding_size,
                    active=False,
                    generation=0,
                )
            ).inserted_primary_key
            assert model is not None
            _put_vocabulary(connection, model[0], vocabulary)

    def activate(self, model_id: str) -> None:
        """Let a registered model be the one that tags new photos and whose tags are shown.

        Photos that it has not analysed yet go on showing what other models said.
        Raises NothingFound.
        """
        with self._database.write() as connection:
            key = need_model(connection, model_id)
            connection.execute(update(Model).values(active=Model.id == key))

    def active(self) -> ModelRecord | None:
        """The active model, None in a library that has had none."""
        return next((model for model in self.all() if model.active), None)

    def usual_threshold(self, model_id: str) -> float | None:
        """The median threshold of a model's vocabulary, 0..1; None where it has none."""
        query = (
            select(VocabularyEntry.threshold)
            .join(Model, Model.id == VocabularyEntry.model_id)
            .where(Model.model_id == model_id)
        )
        with self._database.read() as connection:
            thresholds = list(connection.execute(query).scalars())
        return statistics.median(thresholds) if thresholds else None

    def all(self) -> tuple[ModelRecord, ...]:
        """Every model that has been used, in that order."""
        count = select(func.count()).where(AnalysisRow.model_id == Model.id).scalar_subquery()
        query = select(
            Model.model_id,
            Model.name,
            Model.embedding_size,
            Model.token_count,
            Model.token_width,
            Model.active,
            count,
        ).order_by(Model.id)
        with self._database.read() as connection:
            return tuple(ModelRecord(*row) for row in connection.execute(query))


def find_model(connection: Connection, model_id: str) -> int | None:
    """The row of a model, None when it is not known."""
    query = select(Model.id).where(Model.model_id == model_id)
    return connection.execute(query).scalar_one_or_none()


def need_model(connection: Connection, model_id: str) -> int:
    """The row of a model. Raises NothingFound."""
    key = find_model(connection, model_id)
    if key is None:
        raise NothingFound(f'model "{model_id}" has not been used in this library')
    return key


def active_model(connection: Connection) -> int | None:
    """The row of the active model."""
    return connection.execute(select(Model.id).where(Model.active)).scalar_one_or_none()


def need_tag(connection: Connection, name: str, name_zh: str | None = None) -> int:
    """The row of a tag by its English name, made when it is new; a Chinese name is only added."""
    statement = insert(TagRow).values(name=name, name_zh=name_zh)
    return connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"name_zh": func.coalesce(TagRow.name_zh, statement.excluded.name_zh)},
        ).returning(TagRow.id)
    ).scalar_one()


def same_name(name: str) -> bytes:
    """Equal for names that the catalog holds to be one: SQLite folds the case of ASCII alone."""
    return name.encode().lower()


def _put_thresholds(connection: Connection, model: int, vocabulary: Sequence[TagName]) -> None:
    now = {same_name(entry.name): entry.threshold for entry in vocabulary}
    entries = connection.execute(
        select(TagRow.name, VocabularyEntry.tag_id, VocabularyEntry.threshold)
        .join(VocabularyEntry)
        .where(VocabularyEntry.model_id == model)
    )
    changed = [
        {"entry": tag_id, "now": now[same_name(name)]}
        for name, tag_id, threshold in entries
        if now.get(same_name(name), threshold) != threshold
    ]
    if changed:
        connection.execute(
            update(VocabularyEntry)
            .where(VocabularyEntry.model_id == model, VocabularyEntry.tag_id == bindparam("entry"))
            .values(threshold=bindparam("now")),
            changed,
        )


def _put_vocabulary(connection: Connection, model: int, vocabulary: Sequence[TagName]) -> None:
    names = {same_name(entry.name) for entry in vocabulary}
    if len(names) < len(vocabulary):
        raise LibraryError("the model's vocabulary names a tag twice: correct its tag list")
    if not vocabulary:
        return
    tag = insert(TagRow)
    connection.execute(
        tag.on_conflict_do_update(
            index_elements=["name"],
            set_={"name_zh": func.coalesce(TagRow.name_zh, tag.excluded.name_zh)},
        ),
        [{"name": entry.name, "name_zh": entry.name_zh} for entry in vocabulary],
    )
    rows = connection.execute(select(TagRow.name, TagRow.id))
    ids = {same_name(name): key for name, key in rows}
    connection.execute(
        insert(VocabularyEntry),
        [
            {
                "model_id": model,
                "tag_id": ids[same_name(entry.name)],
                "threshold": entry.threshold,
                "position": position,
            }
            for position, entry in enumerate(vocabulary)
        ],
    )
