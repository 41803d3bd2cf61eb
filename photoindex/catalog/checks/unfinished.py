"""How much there is, how much of it is still to be done, and what nothing leads to any more."""

from __future__ import annotations

import sqlite3

_PHOTOS = "SELECT count(*) FROM photos"
_WITHOUT_FILE = """
    SELECT count(*) FROM photos
    WHERE NOT EXISTS (SELECT 1 FROM files WHERE photo_id = photos.id)
    AND NOT EXISTS (SELECT 1 FROM photo_tags WHERE photo_id = photos.id)"""
_AWAITING = """
    SELECT count(*) FROM photos
    WHERE EXISTS (SELECT 1 FROM files WHERE photo_id = photos.id AND state = 'present')
    AND NOT EXISTS (
        SELECT 1 FROM analyses JOIN models ON models.id = analyses.model_id
        WHERE analyses.photo_id = photos.id AND models.model_id = ?)"""
_UNSCORED = """
    SELECT count(DISTINCT concept_id) FROM unscored JOIN models ON models.id = unscored.model_id
    WHERE active"""
_NOT_EMBEDDED = """
    SELECT count(*) FROM concepts WHERE NOT EXISTS (
        SELECT 1 FROM concept_embeddings JOIN models ON models.id = concept_embeddings.model_id
        WHERE concept_id = concepts.id AND active)"""
_CONCEPTS = "SELECT count(*) FROM concepts"


def photo_count(connection: sqlite3.Connection) -> int:
    """All photos."""
    return _number(connection, _PHOTOS)


def photos_without_file(connection: sqlite3.Connection) -> int:
    """Photos that no file holds, not even a deleted one, and nobody tagged."""
    return _number(connection, _WITHOUT_FILE)


def photos_awaiting(connection: sqlite3.Connection, model_id: str | None) -> int:
    """Photos with a present file that a model has yet to analyse, whatever derived tables say."""
    return int(connection.execute(_AWAITING, (model_id,)).fetchone()[0])


def concept_count(connection: sqlite3.Connection) -> int:
    """All concepts."""
    return _number(connection, _CONCEPTS)


def concepts_unscored(connection: sqlite3.Connection) -> int:
    """Concepts that the active model has yet to score on some photo."""
    return _number(connection, _UNSCORED)


def concepts_not_embedded(connection: sqlite3.Connection) -> int:
    """Concepts that the active model has not looked at."""
    return _number(connection, _NOT_EMBEDDED)


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
