"""How many photos show each tag: the rule of shown.py, over all tags at once, chunk by chunk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from itertools import chain

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import CHUNK, analysed, extent
from photoindex.catalog.models import active_model
from photoindex.catalog.postings import ChunkTags, Offsets, by_chunk
from photoindex.tagger import Floats, Ids

_LAST = "SELECT (SELECT max(id) FROM tags), (SELECT max(id) FROM models)"
_VOCABULARIES = "SELECT model_id, tag_id, threshold FROM vocabulary"
_CONCEPTS = "SELECT 0, tag_id, threshold FROM concepts"
_SPOKEN_OF = f"SELECT DISTINCT photo_id / {CHUNK} FROM photo_tags"
_PEOPLE = """
    SELECT photo_id, tag_id, probability > 0 FROM photo_tags
    WHERE photo_id >= ? AND photo_id < ? ORDER BY photo_id"""

_NO_WORDS = np.empty((0, 3), dtype=np.int64)


def count_shown(connection: sqlite3.Connection) -> Mapping[int, int]:
    """Tag id → how many photos show it, of those that some file holds; none with zero.

    There is no more in memory than what is said of one chunk.
    """
    size, active = extent(connection), active_model(connection)
    live = moments.live(connection, size)
    seen = analysed(connection, active, size)
    thresholds = _thresholds(connection)
    totals = np.zeros(thresholds.shape[1], dtype=np.int64)
    spoken_of = {chunk for (chunk,) in connection.execute(_SPOKEN_OF)}
    for part in by_chunk(connection):
        here = slice(part.chunk * CHUNK, (part.chunk + 1) * CHUNK)
        shown = part.probabilities >= np.repeat(_needed(part, thresholds), part.counts)
        shown &= live[here][part.offsets]
        if active is not None and (part.models != active).any():
            own = np.repeat(part.models == active, part.counts)
            shown &= own | ~seen[here][part.offsets]
        tags, offsets = np.repeat(part.tags, part.counts)[shown], part.offsets[shown]
        said = _words(connection, part.chunk, live) if part.chunk in spoken_of else _NO_WORDS
        spoken_of.discard(part.chunk)
        several = part.tags[1:][part.tags[1:] == part.tags[:-1]]
        odd = np.isin(tags, np.concatenate([several, said[:, 0]]))
        totals += np.bincount(tags[~odd], minlength=len(totals))
        totals += _counted_once(tags[odd], offsets[odd], said, len(totals))
    nothing = np.empty(0, dtype=np.int64)
    for chunk in spoken_of:
        said = _words(connection, chunk, live)
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


def _words(connection: sqlite3.Connection, chunk: int, live: np.ndarray) -> Ids:
    """(n, 3) int64: tag, offset, and 1 or 0 for what people say of a chunk's live photos."""
    rows = connection.execute(_PEOPLE, (chunk * CHUNK, (chunk + 1) * CHUNK))
    said = np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(-1, 3)
    said = said[live[said[:, 0]]]
    return np.stack([said[:, 1], said[:, 0] % CHUNK, said[:, 2]], axis=1)


def _counted_once(tags: Ids, offsets: Offsets, words: Ids, most: int) -> Ids:
    """(most,) int64: how many photos of a chunk show each tag, whoever says so.

    tags, offsets: what figures show; words: what people say, as `_words` has it.
    """
    tag, offset, given = words.T
    said = tag * CHUNK + offset
    pairs = np.union1d(tags * CHUNK + offsets, said[given == 1])
    kept = np.setdiff1d(pairs, said[given == 0], assume_unique=True)
    return np.bincount(kept // CHUNK, minlength=most)
