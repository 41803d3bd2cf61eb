"""Tag by tag, which photos a model or a concept says it of, and how probably.

One row holds a tag's photos in one chunk (see chunks.py): their offsets in the chunk, ascending
uint16, and their probabilities, float32, both little-endian. A tag's photos in a library of a
million are read in 245 rows, without looking at a photo. No threshold is applied here. The chunk
leads the key, so that what is written for new photos lies side by side however many there are.

Of models these rows repeat what analysis_tags says photo by photo, written in the same
transactions; of concepts they are all there is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoindex.catalog.chunks import CHUNK
from photoindex.catalog.ids import AMONG, as_array, listed
from photoindex.photo import Source
from photoindex.tagger import AnyIds, Floats, Ids

_KEYS = "chunk, tag_id, source, model_id, offsets, probabilities"
_OF_TAG = """
    SELECT source, model_id, postings.chunk, offsets, probabilities
    FROM photo_chunks CROSS JOIN tag_postings AS postings ON postings.chunk = photo_chunks.chunk
    WHERE tag_id = ?"""
_CHUNKS = "SELECT chunk FROM photo_chunks ORDER BY chunk"
_OF_CHUNK = """
    SELECT tag_id, model_id, source = 'model', offsets, probabilities FROM tag_postings
    WHERE chunk = ? ORDER BY tag_id, source, model_id"""
_NEAR = f"""
    SELECT tag_id, model_id, chunk, offsets, probabilities FROM tag_postings
    WHERE chunk {AMONG} AND tag_id {AMONG} AND source = ? AND model_id {AMONG}"""
_ONE = """
    SELECT offsets, probabilities FROM tag_postings
    WHERE chunk = ? AND tag_id = ? AND source = ? AND model_id = ?"""
_PUT = f"""
    INSERT INTO tag_postings ({_KEYS}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
    offsets = excluded.offsets, probabilities = excluded.probabilities"""
_DROP = "DELETE FROM tag_postings WHERE chunk = ? AND tag_id = ? AND source = ? AND model_id = ?"
_DROP_TAG = """
    DELETE FROM tag_postings
    WHERE chunk IN (SELECT chunk FROM photo_chunks) AND tag_id = ? AND source = ?"""

Offsets = NDArray[np.uint16]
_Row = tuple[int, int, str, int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class TagPhotos:
    """What one source says of one tag.

    photo_ids: (n,) int64, ascending, none twice; probabilities: (n,) float32, 0..1.
    """

    tag_id: int
    source: Source
    model_id: int  # the model's row
    photo_ids: Ids
    probabilities: Floats


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one source and model, in parallel arrays.

    tag_ids, photo_ids: (n,) int64, no pair twice; probabilities: (n,) float32, 0..1.
    """

    tag_ids: Ids
    photo_ids: Ids
    probabilities: Floats

    @classmethod
    def none(cls) -> Figures:
        return cls.of([], [], [])

    @classmethod
    def leaving(cls, tag_ids: Ids, photo_ids: Ids) -> Figures:
        """Figures that are to go, whatever their probabilities."""
        return cls.of(tag_ids, photo_ids, np.zeros(len(tag_ids), dtype=np.float32))

    @classmethod
    def of(cls, tag_ids: AnyIds, photo_ids: AnyIds, probabilities: Iterable[float]) -> Figures:
        """From any numbers."""
        return cls(
            as_array(tag_ids),
            as_array(photo_ids),
            np.asarray(probabilities, dtype=np.float32),
        )


@dataclass(frozen=True, slots=True)
class ChunkTags:
    """What is said of the photos of one chunk, in the order of (tag, source, model).

    tags, models: (keys,) int64; by_model: (keys,) bool, else by a concept; counts: (keys,) int64,
    how many photos each has, whose offsets in the chunk and probabilities follow each other, (sum
    of counts,) uint16 and float32.
    """

    chunk: int
    tags: Ids
    models: Ids
    by_model: NDArray[np.bool_]
    counts: Ids
    offsets: Offsets
    probabilities: Floats


def photos_of(connection: sqlite3.Connection, tag_id: int) -> Iterator[TagPhotos]:
    """What every source says of a tag."""
    parts: dict[tuple[str, int], list[tuple[int, bytes, bytes]]] = {}
    for source, model, *row in connection.execute(_OF_TAG, (tag_id,)):
        parts.setdefault((source, model), []).append((row[0], row[1], row[2]))
    for (source, model), rows in parts.items():
        chunks, offsets, probabilities = zip(*sorted(rows), strict=True)
        within, counts = _unpacked(offsets)
        photos = np.repeat(np.array(chunks, dtype=np.int64) * CHUNK, counts)
        photos += within
        yield TagPhotos(tag_id, Source(source), model, photos, _unpacked_floats(probabilities))


def photos_near(
    connection: sqlite3.Connection,
    source: Source,
    tag_ids: AnyIds,
    models: AnyIds,
    photo_ids: Ids,
) -> Iterator[TagPhotos]:
    """What a source says of some tags in the chunks of some photos, their neighbours included."""
    chunks = np.unique(photo_ids // CHUNK)
    near = (listed(chunks), listed(tag_ids), source, listed(models))
    for tag_id, model, chunk, offsets, probabilities in connection.execute(_NEAR, near):
        photos = chunk * CHUNK + _unpacked([offsets])[0].astype(np.int64)
        yield TagPhotos(tag_id, source, model, photos, _unpacked_floats([probabilities]))


def by_chunk(connection: sqlite3.Connection) -> Iterator[ChunkTags]:
    """All that is said, chunk by chunk."""
    for (chunk,) in connection.execute(_CHUNKS).fetchall():
        rows = connection.execute(_OF_CHUNK, (chunk,)).fetchall()
        if rows:
            tags, models, by_model, offsets, probabilities = zip(*rows, strict=True)
            within, counts = _unpacked(offsets)
            yield ChunkTags(
                chunk,
                np.array(tags, dtype=np.int64),
                np.array(models, dtype=np.int64),
                np.array(by_model, dtype=bool),
                counts,
                within,
                _unpacked_floats(probabilities),
            )


def amend(
    connection: sqlite3.Connection, source: Source, model: int, gone: Figures, come: Figures
) -> None:
    """Take figures away, whatever their probabilities, and then put others in."""
    leaving, coming = _by_row(gone), _by_row(come)
    put: list[_Row] = []
    drop: list[tuple[int, int, str, int]] = []
    for chunk, tag_id in leaving.keys() | coming.keys():
        key = (chunk, tag_id, source.value, model)
        old = connection.execute(_ONE, key).fetchone() or (b"", b"")
        offsets, probabilities = _amended(
            old, leaving.get((chunk, tag_id)), coming.get((chunk, tag_id))
        )
        if offsets:
            put.append((*key, offsets, probabilities))
        else:
            drop.append(key)
    connection.executemany(_DROP, drop)
    connection.executemany(_PUT, sorted(put))


def drop_tag(
    connection: sqlite3.Connection, tag_id: int, source: Source, model: int | None = None
) -> None:
    """Forget all that a source says of a tag, by one model or by all."""
    if model is None:
        connection.execute(_DROP_TAG, (tag_id, source))
    else:
        connection.execute(f"{_DROP_TAG} AND model_id = ?", (tag_id, source, model))


_Part = tuple[Offsets, Floats]


def _amended(
    old: tuple[bytes, bytes], leaving: _Part | None, coming: _Part | None
) -> tuple[bytes, bytes]:
    """The (offsets, probabilities) of one row after a change."""
    if leaving is None and coming is not None and _follows(old[0], coming[0]):
        return (
            old[0] + coming[0].astype("<u2", copy=False).tobytes(),
            old[1] + coming[1].astype("<f4", copy=False).tobytes(),
        )
    chunk = np.zeros(CHUNK, dtype=np.float32)
    there = np.zeros(CHUNK, dtype=bool)
    offsets = np.frombuffer(old[0], dtype="<u2")
    chunk[offsets], there[offsets] = np.frombuffer(old[1], dtype="<f4"), True
    if leaving is not None:
        there[leaving[0]] = False
    if coming is not None:
        chunk[coming[0]], there[coming[0]] = coming[1], True
    kept = np.flatnonzero(there)
    return kept.astype("<u2").tobytes(), chunk[kept].astype("<f4").tobytes()


def _follows(offsets: bytes, coming: Offsets) -> bool:
    """Whether all that comes lies behind what is there: so it is for photos just added."""
    return not offsets or int.from_bytes(offsets[-2:], "little") < int(coming[0])


def _by_row(figures: Figures) -> Mapping[tuple[int, int], _Part]:
    """(chunk, tag) → its part of the figures, offsets ascending."""
    order = np.lexsort((figures.photo_ids, figures.tag_ids))
    tags, photos = figures.tag_ids[order], figures.photo_ids[order]
    chunks, offsets = photos // CHUNK, (photos % CHUNK).astype(np.uint16)
    probabilities = figures.probabilities[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (tags[1:] != tags[:-1]) | (chunks[1:] != chunks[:-1])
    starts = np.flatnonzero(first).tolist()
    return {
        key: (offsets[start:end], probabilities[start:end])
        for key, start, end in zip(
            zip(chunks[first].tolist(), tags[first].tolist(), strict=True),
            starts,
            [*starts, len(order)][1:],
            strict=True,
        )
    }


def _unpacked(offsets: Sequence[bytes]) -> tuple[Offsets, Ids]:
    """The offsets of several rows one after the other, and how many each has."""
    joined = np.frombuffer(b"".join(offsets), dtype="<u2")
    return joined, np.array([len(one) // 2 for one in offsets], dtype=np.int64)


def _unpacked_floats(probabilities: Sequence[bytes]) -> Floats:
    return np.frombuffer(b"".join(probabilities), dtype="<f4").astype(np.float32, copy=False)
