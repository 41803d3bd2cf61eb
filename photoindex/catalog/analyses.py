"""What models saw in photos: recording it, streaming it, forgetting it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import analysed, analysed_count, extent
from photoindex.catalog.columns import bytes_path, columns_stamp, utc_text
from photoindex.catalog.database import Database
from photoindex.catalog.ids import AMONG, as_array, as_ids, listed
from photoindex.catalog.models import find_model, need_model
from photoindex.catalog.recording import Recorder, forget_analyses
from photoindex.catalog.records import AnalysisState, EmbeddingBlock, FileRecord, NewAnalysis
from photoindex.catalog.tokens import unpack_embeddings, unpack_token_block
from photoindex.photo import FileState
from photoindex.tagger import AnyIds, Floats, Ids, StoredPhotos

_EMBEDDINGS = 4096  # analyses read in one go without their tokens
_PHOTOS = 256  # and with them: about 20 MB

_HAS = """
    SELECT 1 FROM analyses JOIN models ON models.id = analyses.model_id
    WHERE photo_id = ? AND models.model_id = ?"""
_WITH_FILE = f"""
    SELECT count(DISTINCT photo_id) FROM files
    WHERE photo_id {AMONG} AND state = 'present'"""
_FIRST_FILES = f"""
    SELECT size, mtime_ns, inode, device, photo_id, min(path)
    FROM files WHERE photo_id {AMONG} AND state = 'present'
    GROUP BY photo_id ORDER BY photo_id"""  # SQLite: the other columns of that row
_GENERATION = "SELECT generation FROM models WHERE id = ?"
_LAST = "SELECT coalesce(max(id), 0) FROM analyses WHERE model_id = ?"
_BLOCK_OF_EMBEDDINGS = """
    SELECT id, photo_id, embedding FROM analyses
    WHERE model_id = ? AND id > ? ORDER BY id LIMIT ?"""
_SOME_EMBEDDINGS = """
    SELECT photo_id, embedding
    FROM json_each(?) AS asked CROSS JOIN analyses ON photo_id = asked.value
    WHERE model_id = ?"""
_STORED = 'SELECT analyses.id, photo_id, embedding, "values", scales, width'
_BLOCK_OF_STORED = f"""
    {_STORED} FROM analyses LEFT JOIN image_tokens ON analysis_id = analyses.id
    WHERE model_id = ? AND analyses.id > ? ORDER BY analyses.id LIMIT ?"""
_SOME_STORED = f"""
    {_STORED} FROM json_each(?) AS asked CROSS JOIN analyses ON photo_id = asked.value
    LEFT JOIN image_tokens ON analysis_id = analyses.id
    WHERE model_id = ?"""
_KEPT = f"""
    SELECT photo_id FROM photo_tags WHERE photo_id {AMONG}
    UNION SELECT photo_id FROM files
    WHERE photo_id {AMONG} AND (state <> 'deleted' OR deleted_at >= ?)"""
_ANALYSED_BY = f"SELECT DISTINCT model_id FROM analyses WHERE photo_id {AMONG}"
_CHANGED = "UPDATE models SET generation = random() WHERE id = ?"
_DROP_PHOTOS = f"DELETE FROM photos WHERE id {AMONG}"
_DROP_FILES = "DELETE FROM files WHERE state = 'deleted' AND deleted_at < ?"


class Analyses:
    """Analyses by model. They are numbered as they come, no number is used twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, batch: Sequence[NewAnalysis], model_id: str) -> list[int]:
        """Keep a batch of analyses with their photos and files: all of it or nothing.

        A photo's earlier analysis by the same model is replaced; user and imported tags stay.
        Returns the photos' ids. Raises NothingFound when the model was never registered, and
        LibraryError when an analysis does not fit the model.
        """
        with self._database.write() as connection:
            model = need_model(connection, model_id)
            return Recorder(connection, model).record(batch) if batch else []

    def has(self, photo_id: int, model_id: str) -> bool:
        """Whether a model has analysed a photo."""
        with self._database.read() as connection:
            return connection.execute(_HAS, (photo_id, model_id)).fetchone() is not None

    def awaiting_count(self, model_id: str) -> int:
        """How many photos with a present file a model has yet to analyse."""
        with self._database.read() as connection:
            candidates = _awaiting(connection, model_id)
            (count,) = connection.execute(_WITH_FILE, (listed(candidates),)).fetchone()
        return int(count)

    def awaiting(self, model_id: str) -> Iterator[FileRecord]:
        """One present file of each photo that a model has yet to analyse.

        Photos that get their analysis while this runs are left out where it has not come yet.
        """
        last = 0
        while True:
            with self._database.read() as connection:
                candidates = _awaiting(connection, model_id)
                photos = candidates[np.searchsorted(candidates, last, "right") :][:_PHOTOS]
                if not len(photos):
                    return
                last = int(photos[-1])
                files = connection.execute(_FIRST_FILES, (listed(photos),)).fetchall()
            for *stamp, photo_id, path in files:
                yield FileRecord(
                    bytes_path(path), columns_stamp(*stamp), FileState.PRESENT, photo_id, None
                )

    def state(self, model_id: str) -> AnalysisState:
        """How far a model's analyses have come; of an unknown model, nowhere."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            if model is None:
                return AnalysisState(0, 0, 0)
            (generation,) = connection.execute(_GENERATION, (model,)).fetchone()
            (last,) = connection.execute(_LAST, (model,)).fetchone()
            return AnalysisState(generation, analysed_count(connection, model), last)

    def photo_ids(self, model_id: str) -> Ids:
        """The photos that a model has analysed, ascending."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            return np.flatnonzero(analysed(connection, model, extent(connection)))

    def embeddings(self, model_id: str, after: int = 0) -> Iterator[EmbeddingBlock]:
        """A model's embeddings in blocks, oldest first, from the analysis after number `after`."""
        while True:
            with self._database.read() as connection:
                model = find_model(connection, model_id)
                rows = connection.execute(
                    _BLOCK_OF_EMBEDDINGS, (model, after, _EMBEDDINGS)
                ).fetchall()
            if not rows:
                return
            numbers, photo_ids, embeddings = zip(*rows, strict=True)
            after = numbers[-1]
            yield EmbeddingBlock(
                np.array(photo_ids, dtype=np.int64), unpack_embeddings(embeddings), after
            )

    def embeddings_of(self, model_id: str, photo_ids: AnyIds) -> tuple[Ids, Floats]:
        """The exact embeddings of those of some photos that a model has analysed.

        Returns ids, (n,) int64 ascending, and embeddings, (n, d) float32, unit length.
        """
        asked = listed(np.unique(as_array(photo_ids)))
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            rows = connection.execute(_SOME_EMBEDDINGS, (asked, model)).fetchall()
        return (
            np.array([photo_id for photo_id, _ in rows], dtype=np.int64),
            unpack_embeddings([embedding for _, embedding in rows]),
        )

    def stored(
        self, model_id: str, photo_ids: Ids | Sequence[int] | None = None
    ) -> Iterator[tuple[Ids, StoredPhotos]]:
        """What a model stored, in blocks of at most 256 photos, with their ids.

        In the order of `photo_ids`, leaving out those it has not analysed; without them all, in
        the order of analysis.
        """
        if photo_ids is None:
            yield from self._all_stored(model_id)
            return
        asked = as_array(photo_ids)
        for start in range(0, len(asked), _PHOTOS):
            block = asked[start : start + _PHOTOS]
            with self._database.read() as connection:
                model = find_model(connection, model_id)
                rows = connection.execute(_SOME_STORED, (listed(block), model)).fetchall()
            place = {photo_id: index for index, photo_id in enumerate(block.tolist())}
            if rows:
                yield _stored_photos(sorted(rows, key=lambda row: place[row[1]]))

    def _all_stored(self, model_id: str) -> Iterator[tuple[Ids, StoredPhotos]]:
        last = 0
        while True:
            with self._database.read() as connection:
                model = find_model(connection, model_id)
                rows = connection.execute(_BLOCK_OF_STORED, (model, last, _PHOTOS)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield _stored_photos(rows)

    def purge(self, deleted_before: datetime) -> tuple[int, ...]:
        """Forget photos whose files were all deleted before a moment, or replaced.

        Photos that carry tags of people are kept. Returns the ids of the forgotten photos.
        """
        moment = utc_text(deleted_before)
        with self._database.write() as connection:
            candidates = moments.without_file(connection, extent(connection))
            asked = listed(candidates)
            kept = as_ids(connection.execute(_KEPT, (asked, asked, moment)))
            gone = np.setdiff1d(candidates, kept, assume_unique=True).tolist()
            for (model,) in connection.execute(_ANALYSED_BY, (listed(gone),)).fetchall():
                forget_analyses(connection, model, gone)
                connection.execute(_CHANGED, (model,))
            connection.execute(_DROP_PHOTOS, (listed(gone),))
            connection.execute(_DROP_FILES, (moment,))
        return tuple(gone)


def _awaiting(connection: sqlite3.Connection, model_id: str) -> Ids:
    """The photos that some file holds, present or not, and a model has yet to analyse."""
    size = extent(connection)
    done = analysed(connection, find_model(connection, model_id), size)
    return np.flatnonzero(moments.live(connection, size) & ~done)


def _stored_photos(rows: Sequence[tuple[Any, ...]]) -> tuple[Ids, StoredPhotos]:
    """From rows as `_STORED` selects them."""
    _, photo_ids, embeddings, values, scales, widths = zip(*rows, strict=True)
    tokens = None if None in values else unpack_token_block(values, scales, widths[0])
    return (
        np.array(photo_ids, dtype=np.int64),
        StoredPhotos(unpack_embeddings(embeddings), tokens),
    )
