"""A concept's figures as rows of tag_postings, packed before the write lock is taken.

What is left for the transaction is to insert rows: others who want to write wait no longer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from photoindex.catalog.chunks import CHUNK, spans
from photoindex.photo import Source
from photoindex.tagger import Floats, Ids

_PUT = """
    INSERT OR REPLACE INTO tag_postings
    (chunk, tag_id, source, model_id, offsets, probabilities) VALUES (?, ?, ?, ?, ?, ?)"""

_Row = tuple[int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a model says of one label on many photos, as far as it is kept.

    floor: lower probabilities are not kept; rows: (chunk, offsets, probabilities), see postings.py.
    """

    floor: float
    rows: tuple[_Row, ...]

    @classmethod
    def of(cls, photo_ids: Ids, probabilities: Floats, floor: float) -> Verdicts:
        """photo_ids: none twice, in any order; probabilities: one each."""
        kept = np.flatnonzero(probabilities >= floor)
        ids, figures = photo_ids[kept], probabilities[kept]
        if (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids)
            ids, figures = ids[order], figures[order]
        offsets, figures = (ids % CHUNK).astype("<u2"), figures.astype("<f4", copy=False)
        return cls(
            floor,
            tuple(
                (chunk, offsets[here].tobytes(), figures[here].tobytes())
                for chunk, here in spans(ids)
            ),
        )

    def without(self, photo_ids: Ids) -> Verdicts:
        """All but what is said of some photos."""
        if not len(photo_ids):
            return self
        chunks = set((photo_ids // CHUNK).tolist())
        rows = (_without(row, photo_ids) if row[0] in chunks else row for row in self.rows)
        return replace(self, rows=tuple(row for row in rows if row[1]))


def put_verdicts(
    connection: sqlite3.Connection, model: int, said: Iterable[tuple[int, Verdicts]]
) -> None:
    """Write what a model says of tags of which it has said nothing on these chunks.

    said: (tag id, verdicts) of concepts. They are written in the order of the table, which takes
    the least time.
    """
    rows = [
        (chunk, tag_id, Source.CONCEPT.value, model, offsets, probabilities)
        for tag_id, verdicts in said
        for chunk, offsets, probabilities in verdicts.rows
    ]
    rows.sort(key=lambda row: row[:2])
    connection.executemany(_PUT, rows)


def _without(row: _Row, photo_ids: Ids) -> _Row:
    chunk, offsets, probabilities = row
    there = np.frombuffer(offsets, dtype="<u2")
    kept = ~np.isin(chunk * CHUNK + there.astype(np.int64), photo_ids)
    figures = np.frombuffer(probabilities, dtype="<f4")
    return chunk, there[kept].tobytes(), figures[kept].tobytes()
