"""The models that have been used in a library, and what each can say."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from photoindex.catalog.chunks import analysed_count
from photoindex.catalog.database import Database
from photoindex.catalog.records import ModelRecord
from photoindex.errors import LibraryError, NothingFound
from photoindex.tagger import TagName

_REGISTER = """
    INSERT INTO models (model_id, name, embedding_size, active, generation)
    VALUES (?, ?, ?, 0, 0) RETURNING id"""
_ACTIVATE = "UPDATE models SET active = (id = ?)"
_THRESHOLDS = """
    SELECT threshold FROM vocabulary JOIN models ON models.id = vocabulary.model_id
    WHERE models.model_id = ?"""
_ALL = """
    SELECT id, model_id, name, embedding_size, token_count, token_width, active
    FROM models ORDER BY id"""
_FIND = "SELECT id FROM models WHERE model_id = ?"
_ACTIVE = "SELECT id FROM models WHERE active"
_PUT_TAG = """
    INSERT INTO tags (name, name_zh) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET name_zh = coalesce(tags.name_zh, excluded.name_zh)"""
_TAGS = "SELECT name, id FROM tags"
_ENTRIES = """
    SELECT name, tag_id, threshold FROM vocabulary JOIN tags ON tags.id = tag_id
    WHERE model_id = ?"""
_PUT_ENTRY = "INSERT INTO vocabulary (model_id, tag_id, threshold, position) VALUES (?, ?, ?, ?)"
_SET_THRESHOLD = "UPDATE vocabulary SET threshold = ? WHERE model_id = ? AND tag_id = ?"


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
            row = connection.execute(_REGISTER, (model_id, name, embedding_size)).fetchone()
            _put_vocabulary(connection, row[0], vocabulary)

    def activate(self, model_id: str) -> None:
        """Let a registered model be the one that tags new photos and whose tags are shown.

        Photos that it has not analysed yet go on showing what other models said.
        Raises NothingFound.
        """
        with self._database.write() as connection:
            connection.execute(_ACTIVATE, (need_model(connection, model_id),))

    def active(self) -> ModelRecord | None:
        """The active model, None in a library that has had none."""
        return next((model for model in self.all() if model.active), None)

    def usual_threshold(self, model_id: str) -> float | None:
        """The median threshold of a model's vocabulary, 0..1; None where it has none."""
        with self._database.read() as connection:
            thresholds = [row[0] for row in connection.execute(_THRESHOLDS, (model_id,))]
        return float(np.median(thresholds)) if thresholds else None

    def all(self) -> tuple[ModelRecord, ...]:
        """Every model that has been used, in that order."""
        with self._database.read() as connection:
            rows = connection.execute(_ALL).fetchall()
            return tuple(
                ModelRecord(
                    id, name, size, count, width, bool(active), analysed_count(connection, key)
                )
                for key, id, name, size, count, width, active in rows
            )


def find_model(connection: sqlite3.Connection, model_id: str) -> int | None:
    """The row of a model, None when it is not known."""
    row = connection.execute(_FIND, (model_id,)).fetchone()
    return None if row is None else int(row[0])


def need_model(connection: sqlite3.Connection, model_id: str) -> int:
    """The row of a model. Raises NothingFound."""
    key = find_model(connection, model_id)
    if key is None:
        raise NothingFound(f'model "{model_id}" has not been used in this library')
    return key


def active_model(connection: sqlite3.Connection) -> int | None:
    """The row of the active model."""
    row = connection.execute(_ACTIVE).fetchone()
    return None if row is None else int(row[0])


def need_tag(connection: sqlite3.Connection, name: str, name_zh: str | None = None) -> int:
    """The row of a tag by its English name, made when it is new; a Chinese name is only added."""
    return int(connection.execute(f"{_PUT_TAG} RETURNING id", (name, name_zh)).fetchone()[0])


def same_name(name: str) -> bytes:
    """Equal for names that the catalog holds to be one: SQLite folds the case of ASCII alone."""
    return name.encode().lower()


def _put_thresholds(
    connection: sqlite3.Connection, model: int, vocabulary: Sequence[TagName]
) -> None:
    now = {same_name(entry.name): entry.threshold for entry in vocabulary}
    changed = [
        (now[same_name(name)], model, tag_id)
        for name, tag_id, threshold in connection.execute(_ENTRIES, (model,))
        if now.get(same_name(name), threshold) != threshold
    ]
    connection.executemany(_SET_THRESHOLD, changed)


def _put_vocabulary(
    connection: sqlite3.Connection, model: int, vocabulary: Sequence[TagName]
) -> None:
    names = {same_name(entry.name) for entry in vocabulary}
    if len(names) < len(vocabulary):
        raise LibraryError("the model's vocabulary names a tag twice: correct its tag list")
    connection.executemany(_PUT_TAG, [(entry.name, entry.name_zh) for entry in vocabulary])
    ids = {same_name(name): tag_id for name, tag_id in connection.execute(_TAGS)}
    connection.executemany(
        _PUT_ENTRY,
        [
            (model, ids[same_name(entry.name)], entry.threshold, position)
            for position, entry in enumerate(vocabulary)
        ],
    )
