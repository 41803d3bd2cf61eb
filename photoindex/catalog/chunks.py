"""Photos by the chunk: ids in blocks of 4,096, and sets of them as arrays of flags.

What has to be known of every photo at once is kept in one row a chunk: a million photos are 245
rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from photoindex.catalog.ids import as_array, ascending
from photoindex.tagger import AnyIds, Ids

CHUNK = 4096
"""Photo ids in a chunk: id = chunk * CHUNK + offset."""

Flags = NDArray[np.bool_]
"""(extent,) bool, one a photo id: see `extent`."""

_EXTENT = "SELECT max(chunk) FROM photo_chunks"
_ANALYSED = "SELECT chunk, photos FROM analysed_chunks WHERE model_id = ? ORDER BY chunk"
_ONE_ANALYSED = "SELECT photos FROM analysed_chunks WHERE model_id = ? AND chunk = ?"
_PUT_ANALYSED = "INSERT OR REPLACE INTO analysed_chunks (model_id, chunk, photos) VALUES (?, ?, ?)"


def extent(connection: sqlite3.Connection) -> int:
    """A number above every photo id there is, whole chunks."""
    (last,) = connection.execute(_EXTENT).fetchone()
    return 0 if last is None else (last + 1) * CHUNK


def spans(ids: Ids) -> Iterator[tuple[int, slice]]:
    """Each chunk that has some of the ids, which ascend, and where they are among them."""
    chunks, starts = np.unique(ids // CHUNK, return_index=True)
    ends = [*starts.tolist(), len(ids)][1:]
    for chunk, start, end in zip(chunks.tolist(), starts.tolist(), ends, strict=True):
        yield chunk, slice(start, end)


def flags_of(ids: AnyIds, size: int) -> Flags:
    """(size,) bool of some ids below `size`."""
    flags = np.zeros(size, dtype=bool)
    flags[as_array(ids)] = True
    return flags


def unpack_flags(rows: Iterable[tuple[int, bytes]], size: int) -> Flags:
    """(size,) bool from the bits of (chunk, bits) rows; chunks without a row have none."""
    packed = np.zeros(size // 8, dtype=np.uint8)
    for chunk, bits in rows:
        packed[chunk * CHUNK // 8 : (chunk + 1) * CHUNK // 8] = np.frombuffer(bits, np.uint8)
    return np.unpackbits(packed, bitorder="little").view(bool)


def pack_flags(flags: Flags) -> bytes:
    """The bits of one chunk, 512 bytes."""
    return np.packbits(flags, bitorder="little").tobytes()


def analysed(connection: sqlite3.Connection, model: int | None, size: int) -> Flags:
    """(size,) bool: which photos a model has analysed."""
    return unpack_flags(connection.execute(_ANALYSED, (model,)), size)


def analysed_count(connection: sqlite3.Connection, model: int | None) -> int:
    """How many photos a model has analysed."""
    rows = connection.execute(_ANALYSED, (model,))
    return sum(int.from_bytes(bits, "little").bit_count() for _, bits in rows)


def mark_analysed(
    connection: sqlite3.Connection, model: int, photo_ids: AnyIds, is_so: bool = True
) -> None:
    """Note that a model has analysed photos now, or that their analyses are gone."""
    ids = ascending(photo_ids)
    for chunk, here in spans(ids):
        row = connection.execute(_ONE_ANALYSED, (model, chunk)).fetchone()
        flags = unpack_flags([] if row is None else [(0, row[0])], CHUNK)
        flags[ids[here] % CHUNK] = is_so
        connection.execute(_PUT_ANALYSED, (model, chunk, pack_flags(flags)))
