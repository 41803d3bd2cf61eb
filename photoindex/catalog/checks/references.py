"""Rows that refer to rows which are not there."""

from __future__ import annotations

import sqlite3

_LOST = {
    "image_tokens": "analysis_id NOT IN (SELECT id FROM analyses)",
    "analysis_tags": "analysis_id NOT IN (SELECT id FROM analyses)",
    "analyses": "photo_id NOT IN (SELECT id FROM photos)"
    " OR model_id NOT IN (SELECT id FROM models)",
    "tag_postings": "tag_id NOT IN (SELECT id FROM tags)"
    " OR model_id NOT IN (SELECT id FROM models)",
    "analysed_chunks": "model_id NOT IN (SELECT id FROM models)",
    "concept_embeddings": "concept_id NOT IN (SELECT id FROM concepts)"
    " OR model_id NOT IN (SELECT id FROM models)",
    "unscored": "concept_id NOT IN (SELECT id FROM concepts)"
    " OR NOT EXISTS (SELECT 1 FROM analyses WHERE analyses.photo_id = unscored.photo_id"
    " AND analyses.model_id = unscored.model_id)",
    "files": "photo_id NOT IN (SELECT id FROM photos)",
}
"""Table → which of its rows belong to nothing any more and can be made again where they matter."""


def broken_references(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """(table, the table it refers to) → rows without one there, of all tables."""
    broken: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        broken[table, parent] = broken.get((table, parent), 0) + 1
    return broken


def lost_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Table → rows that belong to nothing any more, of the tables that `drop_lost` clears."""
    found = {
        table: connection.execute(f"SELECT count(*) FROM {table} WHERE {which}").fetchone()[0]
        for table, which in _LOST.items()
    }
    return {table: number for table, number in found.items() if number}


def drop_lost(connection: sqlite3.Connection) -> int:
    """Delete them. Returns how many."""
    return sum(
        connection.execute(f"DELETE FROM {table} WHERE {which}").rowcount
        for table, which in _LOST.items()
    )
