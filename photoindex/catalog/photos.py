"""Photos: what they are, where they lie, and which ones meet a filter."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import Flags, extent, flags_of
from photoindex.catalog.columns import bytes_path, path_bytes, range_under, text_clock
from photoindex.catalog.database import Database
from photoindex.catalog.ids import AMONG, as_array, as_ids, as_list, ascending, listed
from photoindex.catalog.records import PhotoFilter, PhotoRecord
from photoindex.catalog.shown import Shown
from photoindex.photo import Metadata, PhotoFacts
from photoindex.tagger import AnyIds, Floats, Ids

_FACTS = f"""
    SELECT id, hash, size, width, height, format, taken_at, camera, latitude, longitude
    FROM photos WHERE id {AMONG}"""
_HOLDERS = f"""
    SELECT photo_id, path FROM files
    WHERE photo_id {AMONG} AND state IN ('present', 'offline')
    ORDER BY state DESC, path"""  # "present" sorts after "offline"
_BY_HASH = "SELECT id FROM photos WHERE hash = ?"
_AT = "SELECT photo_id FROM files WHERE path = ? AND state IN ('present', 'offline')"
_INSIDE = """
    SELECT photo_id FROM files
    WHERE path >= ? AND path < ? AND state <> 'deleted' AND photo_id IS NOT NULL"""
_OUTSIDE = "SELECT 1 FROM files WHERE path < ? UNION ALL SELECT 1 FROM files WHERE path >= ?"


class Photos:
    """Contents by id, hash or path."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def many(self, photo_ids: AnyIds) -> list[PhotoRecord]:
        """Photos in the order asked for; unknown ids are left out."""
        asked = as_list(photo_ids)
        with self._database.read() as connection:
            found = _records(connection, asked)
        return [found[photo_id] for photo_id in asked if photo_id in found]

    def by_hash(self, hash: str) -> PhotoRecord | None:
        """The photo with this content, or None; also one whose files are all deleted."""
        return self._one(_BY_HASH, hash)

    def at(self, path: Path) -> PhotoRecord | None:
        """The photo that a file holds, None where none is known or the file is deleted."""
        return self._one(_AT, path_bytes(path))

    def _one(self, query: str, key: str | bytes) -> PhotoRecord | None:
        with self._database.read() as connection:
            row = connection.execute(query, (key,)).fetchone()
            if row is None or row[0] is None:
                return None
            return _records(connection, row).get(row[0])

    def select(self, wanted: PhotoFilter) -> Ids:
        """The ids of the photos that meet a filter, (n,) int64, ascending."""
        with self._database.read() as connection:
            shown = Shown(connection, wanted.min_probability)
            found = moments.live(connection, shown.size)
            for tags in wanted.all_of:
                found &= shown.any_of(tags)
            if wanted.none_of:
                found &= ~shown.any_of(wanted.none_of)
            if wanted.after is not None or wanted.before is not None:
                found &= moments.taken_between(connection, shown.size, wanted.after, wanted.before)
            if wanted.folders:
                found &= _inside(connection, wanted.folders, shown.size)
        return np.flatnonzero(found)

    def newest(self, photo_ids: AnyIds, first: int | None = None) -> Ids:
        """The same photos, last taken first; by the oldest file's time where no camera told.

        first: how many of them have to be in order; the others follow in any. None for all.
        Returns (n,) int64, without unknown ids.
        """
        with self._database.read() as connection:
            return moments.newest(connection, extent(connection), ascending(photo_ids), first)

    def probability(self, photo_ids: AnyIds, tag_ids: Sequence[int]) -> Floats:
        """How probable each tag is on each photo, thresholds aside: (photos, tags) float32.

        0 where nothing is stored or the user took the tag away, 1 where the user gave it.
        """
        asked = as_array(photo_ids)
        table = np.zeros((len(asked), len(tag_ids)), dtype=np.float32)
        with self._database.read() as connection:
            shown = Shown(connection)
            known = (asked >= 0) & (asked < shown.size)
            for column, tag_id in enumerate(tag_ids):
                table[known, column] = shown.probability(tag_id)[asked[known]]
        return table


def _inside(connection: sqlite3.Connection, folders: Sequence[Path], size: int) -> Flags:
    """(size,) bool: which photos lie in any of some folders."""
    flags = np.zeros(size, dtype=bool)
    for folder in folders:
        around = range_under(folder)
        if connection.execute(f"{_OUTSIDE} LIMIT 1", around).fetchone() is None:
            return np.ones(size, dtype=bool)  # a folder with every file there is
        flags |= flags_of(as_ids(connection.execute(_INSIDE, around)), size)
    return flags


def _records(connection: sqlite3.Connection, photo_ids: Sequence[int]) -> dict[int, PhotoRecord]:
    """Id → photo, of those that are known."""
    asked = (listed(photo_ids),)
    held: dict[int, list[Path]] = {}
    for photo_id, path in connection.execute(_HOLDERS, asked):
        held.setdefault(photo_id, []).append(bytes_path(path))
    rows = connection.execute(_FACTS, asked)
    return {row[0]: PhotoRecord(row[0], _facts(row), tuple(held.get(row[0], ()))) for row in rows}


def _facts(row: tuple[Any, ...]) -> PhotoFacts:
    _, hash, size, width, height, format, taken_at, camera, latitude, longitude = row
    metadata = Metadata(text_clock(taken_at), camera, latitude, longitude)
    return PhotoFacts(hash, size, width, height, format, metadata)
