"""How many photos show each tag: the rule of shown.py, over all tags at once, chunk by chunk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import CHUNK, analysed, extent, spans
from photoindex.catalog.models import active_model
from photoindex.catalog.postings import ChunkTags, Offsets, by_chunk
from photoindex.tagger import Floats, Ids

_LAST = "SELECT (SELECT max(id) FROM tags), (SELECT max(id) FROM models)"
_VOCABULARIES = "SELECT model_id, tag_id, threshold FROM vocabulary"
_CONCEPTS = "SELECT 0, tag_id, threshold FROM concepts"
_PEOPLE = "SELECT photo_id, tag_id, probability > 0 FROM photo_tags ORDER BY photo_id"

_NO_WORDS = np.empty((0, 3), dtype=np.int64)


def count_shown(connection: sqlite3.Connection) -> Mapping[int, int]:
    """Tag id → how many photos show it, of those that some file holds; none with zero.

    There is no more in memory than what is said of one chunk, and what people say.
    """
    size, active = extent(connection), active_model(connection)
    live = moments.live(connection, size)
    seen = analysed(connection, active, size)
    thresholds = _thresholds(connection)
    totals = np.zeros(thresholds.shape[1], dtype=np.int64)
    words = _words_by_chunk(connection, live)
    for part in by_chunk(connection):
        here = slice(part.chunk * CHUNK, (part.chunk + 1) * CHUNK)
        shown = part.probabilities >= np.repeat(_needed(part, thresholds), part.counts)
        shown &= live[here][part.offsets]
        if active is not None and (part.models != active).any():
            own = np.repeat(part.models == active, part.counts)
            shown &= own | ~seen[here][part.offsets]
        tags, offsets = np.repeat(part.tags, part.counts)[shown], part.offsets[shown]
        said = words.pop(part.chunk, _NO_WORDS)
        several = part.tags[1:][part.tags[1:] == part.tags[:-1]]
        odd = np.isin(tags, np.concatenate([several, said[:, 0]]))
        totals += np.bincount(tags[~odd], minlength=len(totals))
        totals += _counted_once(tags[odd], offsets[odd], said, len(totals))
    for said in words.values():
        nothing = np.empty(0, dtype=np.int64)
        totals += _counted_once(nothing, nothing.astype(np.uint16), said, len(totals))
    return {tag: int(totals[tag]) for tag in np.flatnonzero(totals).tolist()}


def _thresholds(connection: sqlite3.Connection) -> Floats:
    """(models + 1, tags + 1) float32: of each model's vocabulary, and of concepts in row 0."""
    last_tag, last_model = connection.execute(_LAST).fetchone()
    table = np.full(((last_model or 0) + 1, (last_tag or 0) + 1), np.inf, dtype=np.float32)
    for query in (_VOCABULARIES, _CONCEPTS):
        for row, tag_id, threshold in connection.execute(query):
            table[row, tag_id] = threshold
    return table


def _needed(part: ChunkTags, thresholds: Floats) -> Floats:
    """(keys,) float32: the threshold of each."""
    return np.asarray(thresholds[np.where(part.by_model, part.models, 0), part.tags])


def _words_by_chunk(connection: sqlite3.Connection, live: np.ndarray) -> dict[int, Ids]:
    """Chunk → (n, 3) int64: tag, offset, and 1 or 0 for what people say of live photos."""
    rows = np.array(connection.execute(_PEOPLE).fetchall(), dtype=np.int64).reshape(-1, 3)
    rows = rows[live[rows[:, 0]]]
    return {
        chunk: np.stack([rows[at, 1], rows[at, 0] % CHUNK, rows[at, 2]], axis=1)
        for chunk, at in spans(rows[:, 0])
    }


def _counted_once(tags: Ids, offsets: Offsets, words: Ids, most: int) -> Ids:
    """(most,) int64: how many photos of a chunk show each tag, whoever says so.

    tags, offsets: what figures show; words: what people say, as `_words_by_chunk` has it.
    """
    tag, offset, given = words.T
    said = tag * CHUNK + offset
    pairs = np.union1d(tags * CHUNK + offsets, said[given == 1])
    kept = np.setdiff1d(pairs, said[given == 0], assume_unique=True)
    return np.bincount(kept // CHUNK, minlength=most)
