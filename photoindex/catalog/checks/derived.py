"""What is derived in the database, held against what it is derived from, and made again.

A check makes derived rows again by the very functions that keep them, but into temporary tables
that hide the real ones, and compares: nothing is written, not even through a read-only connection.
Without the hiding the same functions write the real ones. All of it runs in the transaction that
the caller holds; checks need a connection that does not enforce references, as temporary tables
have nobody to refer to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import CHUNK, mark_analysed
from photoindex.catalog.ids import as_ids
from photoindex.catalog.postings import Figures, amend
from photoindex.catalog.recording import put_unscored
from photoindex.photo import Source
from photoindex.tagger import Ids, Progress, no_progress

_SPAN = 16 * CHUNK  # photos made again in one go

_CREATE = "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?"
_LAST_PHOTO = """
    SELECT max(coalesce((SELECT max(id) FROM photos), 0),
        coalesce((SELECT max(photo_id) FROM analyses), 0),
        coalesce((SELECT max(chunk) FROM main.photo_chunks), 0) * :chunk,
        coalesce((SELECT max(chunk) FROM main.analysed_chunks), 0) * :chunk,
        coalesce((SELECT max(chunk) FROM main.tag_postings), 0) * :chunk)"""
_MODELS = "SELECT id FROM models ORDER BY id"

_TOUCH = """
    INSERT INTO touched_photos (photo_id)
    SELECT id FROM photos WHERE id >= :first AND id < :end
    UNION SELECT chunk * :chunk FROM main.photo_chunks
    WHERE chunk * :chunk >= :first AND chunk * :chunk < :end"""
_WRONG_TIMES = """
    SELECT count(*) FROM (
        SELECT chunk FROM (SELECT chunk, live, taken, written FROM main.photo_chunks
            EXCEPT SELECT chunk, live, taken, written FROM temp.photo_chunks)
        UNION SELECT chunk FROM (SELECT chunk, live, taken, written FROM temp.photo_chunks
            EXCEPT SELECT chunk, live, taken, written FROM main.photo_chunks))"""

_ANALYSED = """
    SELECT photo_id FROM analyses
    WHERE +model_id = ? AND photo_id >= ? AND photo_id < ? ORDER BY photo_id"""
_ANALYSED_CHUNKS = "SELECT chunk FROM main.analysed_chunks WHERE model_id = ?"
_WRONG_ANALYSED = """
    SELECT count(*) FROM (
        SELECT model_id, chunk FROM (SELECT model_id, chunk, photos FROM main.analysed_chunks
            EXCEPT SELECT model_id, chunk, photos FROM temp.analysed_chunks)
        UNION SELECT model_id, chunk FROM (SELECT model_id, chunk, photos FROM temp.analysed_chunks
            EXCEPT SELECT model_id, chunk, photos FROM main.analysed_chunks))"""

_SAID = """
    SELECT photo_id, tag_ids, probabilities
    FROM analyses JOIN analysis_tags ON analysis_id = analyses.id
    WHERE +model_id = ? AND photo_id >= ? AND photo_id < ?"""
_POSTINGS = """
    SELECT tag_id, chunk, offsets, probabilities FROM main.tag_postings
    WHERE chunk >= :first AND chunk < :end AND source = 'model' AND model_id = :model"""
_MADE_AGAIN = "SELECT tag_id, chunk, offsets, probabilities FROM temp.tag_postings"
_WRONG_POSTINGS = f"""
    SELECT count(*) FROM (
        SELECT tag_id, chunk FROM ({_POSTINGS} EXCEPT {_MADE_AGAIN})
        UNION SELECT tag_id, chunk FROM ({_MADE_AGAIN} EXCEPT {_POSTINGS}))"""
_DROP_POSTINGS = "DELETE FROM tag_postings WHERE source = 'model' AND model_id = ?"

_UNTOLD = """
    SELECT analyses.id, photo_id, tag_ids, probabilities
    FROM analyses LEFT JOIN analysis_tags ON analysis_id = analyses.id
    WHERE model_id = ? AND analyses.id > ? ORDER BY analyses.id LIMIT 4096"""
_WHOLE_POSTINGS = """
    SELECT tag_id, chunk, offsets, probabilities FROM tag_postings
    WHERE source = 'model' AND model_id = ? AND length(offsets) % 2 = 0
    AND length(probabilities) = 2 * length(offsets)"""
_PUT_TAGS = """
    INSERT OR REPLACE INTO analysis_tags (analysis_id, tag_ids, probabilities) VALUES (?, ?, ?)"""

_CONCEPT_ROWS = """
    SELECT tag_id, model_id, chunk, offsets, probabilities FROM tag_postings
    WHERE source = 'concept'"""
_EMBEDDED = """
    SELECT tag_id, model_id, concepts.id
    FROM concepts JOIN concept_embeddings ON concept_id = concepts.id"""
_DROP_CONCEPT_ROW = """
    DELETE FROM tag_postings
    WHERE tag_id = ? AND source = 'concept' AND model_id = ? AND chunk = ?"""


def models(connection: sqlite3.Connection) -> list[int]:
    """The rows of the models."""
    return [row[0] for row in connection.execute(_MODELS).fetchall()]


def analysed_photos(connection: sqlite3.Connection, model: int) -> Ids:
    """(n,) int64, ascending: the photos that a model has analysed, whatever is derived of it."""
    return as_ids(connection.execute(_ANALYSED, (model, 0, 1 << 62)))


def wrong_times(connection: sqlite3.Connection, progress: Progress = no_progress) -> int:
    """How many chunks tell other times or files of their photos than there are."""
    (left,) = connection.execute("SELECT count(*) FROM main.touched_photos").fetchone()
    with _hidden(connection, "photo_chunks", "touched_photos"):
        _put_times(connection, progress)
        (wrong,) = connection.execute(_WRONG_TIMES).fetchone()
    return int(wrong) + bool(left)


def rebuild_times(connection: sqlite3.Connection, progress: Progress = no_progress) -> None:
    """Write the times of all photos again."""
    connection.execute("DELETE FROM photo_chunks")
    _put_times(connection, progress)


def _put_times(connection: sqlite3.Connection, progress: Progress) -> None:
    last = _last_photo(connection)
    for first in range(0, last + 1, _SPAN):
        progress("reading when photos were taken", first, last)
        bounds = {"first": first, "end": first + _SPAN, "chunk": CHUNK}
        connection.execute(_TOUCH, bounds)
        moments.settle(connection)


def wrong_analysed(connection: sqlite3.Connection, progress: Progress = no_progress) -> int:
    """How many chunks tell other photos as analysed than are."""
    with _hidden(connection, "analysed_chunks"):
        for model in models(connection):
            _put_analysed(connection, model, progress)
        (wrong,) = connection.execute(_WRONG_ANALYSED).fetchone()
    return int(wrong)


def rebuild_analysed(connection: sqlite3.Connection, progress: Progress = no_progress) -> None:
    """Write again which photos each model has analysed."""
    connection.execute("DELETE FROM analysed_chunks")
    for model in models(connection):
        _put_analysed(connection, model, progress)


def _put_analysed(connection: sqlite3.Connection, model: int, progress: Progress) -> None:
    there = as_ids(connection.execute(_ANALYSED_CHUNKS, (model,)))
    mark_analysed(connection, model, there * CHUNK, False)  # an empty row says what none does
    last = _last_photo(connection)
    for first in range(0, last + 1, _SPAN):
        progress("reading which photos are analysed", first, last)
        ids = as_ids(connection.execute(_ANALYSED, (model, first, first + _SPAN)))
        mark_analysed(connection, model, ids)


def wrong_postings(
    connection: sqlite3.Connection, model: int, progress: Progress = no_progress
) -> int:
    """How many rows of a model's tags, tag by tag, differ from what it says photo by photo."""
    wrong = 0
    with _hidden(connection, "tag_postings"):
        last = _last_photo(connection)
        for first in range(0, last + 1, _SPAN):
            progress("comparing tags", first, last)
            _put_postings(connection, model, first)
            bounds = {"first": first // CHUNK, "end": (first + _SPAN) // CHUNK, "model": model}
            wrong += connection.execute(_WRONG_POSTINGS, bounds).fetchone()[0]
            connection.execute("DELETE FROM temp.tag_postings")
    return wrong


def rebuild_postings(connection: sqlite3.Connection, progress: Progress = no_progress) -> None:
    """Write every model's tags again, tag by tag, from what it says photo by photo."""
    for model in models(connection):
        connection.execute(_DROP_POSTINGS, (model,))
        last = _last_photo(connection)
        for first in range(0, last + 1, _SPAN):
            progress("writing tags again", first, last)
            _put_postings(connection, model, first)


def _put_postings(connection: sqlite3.Connection, model: int, first: int) -> None:
    rows = connection.execute(_SAID, (model, first, first + _SPAN)).fetchall()
    rows = [row for row in rows if _are_figures(row[1], row[2])]
    if not rows:
        return
    tags = [np.frombuffer(row[1], dtype="<u4") for row in rows]
    photos = np.array([row[0] for row in rows], dtype=np.int64)
    values = np.frombuffer(b"".join(row[2] for row in rows), dtype="<f8")
    figures = Figures.of(
        np.concatenate(tags), np.repeat(photos, [len(one) for one in tags]), values
    )
    amend(connection, Source.MODEL, model, Figures.none(), figures)


def unreadable_tags(
    connection: sqlite3.Connection, model: int, progress: Progress = no_progress
) -> dict[int, int]:
    """Photo → analysis, of a model's analyses whose tags photo by photo are missing or no such.

    An analysis without any is right where it is not found tag by tag either.
    """
    missing: dict[int, int] = {}
    damaged: dict[int, int] = {}
    last = 0
    while rows := connection.execute(_UNTOLD, (model, last)).fetchall():
        last = rows[-1][0]
        progress("reading tags", last, None)
        for analysis, photo_id, tag_ids, probabilities in rows:
            if tag_ids is None:
                missing[photo_id] = analysis
            elif not _are_figures(tag_ids, probabilities):
                damaged[photo_id] = analysis
    if missing:
        told = _told_of(connection, model, missing)
        damaged |= {photo_id: missing[photo_id] for photo_id in told}
    return damaged


def refill_tags(connection: sqlite3.Connection, model: int, analyses: dict[int, int]) -> None:
    """Write the tags of some analyses again, photo by photo, from what is said tag by tag."""
    told = _told_of(connection, model, analyses)
    connection.executemany(
        _PUT_TAGS,
        [
            (
                analysis,
                np.array([tag for tag, _ in told.get(photo_id, [])], dtype="<u4").tobytes(),
                np.array([value for _, value in told.get(photo_id, [])], dtype="<f8").tobytes(),
            )
            for photo_id, analysis in analyses.items()
        ],
    )


def _told_of(
    connection: sqlite3.Connection, model: int, photos: dict[int, int]
) -> dict[int, list[tuple[int, float]]]:
    """Photo → (tag, probability), from whatever rows tag by tag are whole."""
    asked = np.array(sorted(photos), dtype=np.int64)
    told: dict[int, list[tuple[int, float]]] = {}
    for tag_id, chunk, offsets, probabilities in connection.execute(_WHOLE_POSTINGS, (model,)):
        here = np.frombuffer(offsets, dtype="<u2").astype(np.int64) + chunk * CHUNK
        values = np.frombuffer(probabilities, dtype="<f4")
        for row in np.flatnonzero(np.isin(here, asked)).tolist():
            told.setdefault(int(here[row]), []).append((tag_id, float(values[row])))
    return told


def wrong_concept_rows(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """(tag, model, chunk) of what a concept says in a chunk and cannot: of photos that are not
    analysed, in no order, no probability, or of no concept.
    """
    embedded = {row[:2] for row in connection.execute(_EMBEDDED)}
    known = {model: analysed_photos(connection, model) for model in models(connection)}
    return [
        (tag_id, model, chunk)
        for tag_id, model, chunk, offsets, probabilities in connection.execute(_CONCEPT_ROWS)
        if (tag_id, model) not in embedded
        or not _is_row(offsets, probabilities)
        or not np.isin(
            np.frombuffer(offsets, dtype="<u2").astype(np.int64) + chunk * CHUNK, known[model]
        ).all()
    ]


def forget_concept_rows(
    connection: sqlite3.Connection, rows: Sequence[tuple[int, int, int]]
) -> None:
    """Delete such rows; their photos wait to be scored for the concept again."""
    concepts = {(tag, model): concept for tag, model, concept in connection.execute(_EMBEDDED)}
    for tag_id, model, chunk in rows:
        connection.execute(_DROP_CONCEPT_ROW, (tag_id, model, chunk))
        concept = concepts.get((tag_id, model))
        if concept is not None:
            bounds = (model, chunk * CHUNK, (chunk + 1) * CHUNK)
            ids = as_ids(connection.execute(_ANALYSED, bounds)).tolist()
            put_unscored(connection, model, ((concept, photo_id) for photo_id in ids))


def _are_figures(tag_ids: bytes | None, probabilities: bytes | None) -> bool:
    if tag_ids is None or probabilities is None:
        return False
    if len(tag_ids) % 4 or len(probabilities) != 2 * len(tag_ids):
        return False
    tags = np.frombuffer(tag_ids, dtype="<u4")
    values = np.frombuffer(probabilities, dtype="<f8")
    return len(np.unique(tags)) == len(tags) and bool(((values >= 0) & (values <= 1)).all())


def _is_row(offsets: bytes, probabilities: bytes) -> bool:
    if not offsets or len(offsets) % 2 or len(probabilities) != 2 * len(offsets):
        return False
    places = np.frombuffer(offsets, dtype="<u2").astype(np.int64)
    values = np.frombuffer(probabilities, dtype="<f4")
    ascending = bool((np.diff(places) > 0).all()) and int(places[-1]) < CHUNK
    return ascending and bool(((values >= 0) & (values <= 1)).all())


def _last_photo(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_LAST_PHOTO, {"chunk": CHUNK}).fetchone()[0])


@contextmanager
def _hidden(connection: sqlite3.Connection, *tables: str) -> Iterator[None]:
    """While this lasts, tables by these names are temporary ones, empty at first."""
    for table in tables:
        (create,) = connection.execute(_CREATE, (table,)).fetchone()
        connection.execute(str(create).replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
    try:
        yield
    finally:
        for table in tables:
            connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
