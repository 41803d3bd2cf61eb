"""What models saw in photos: recording it, streaming it, forgetting it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import delete, exists, func, or_, select, update

from photoindex.catalog.database import Database
from photoindex.catalog.ids import among, as_ids
from photoindex.catalog.models import find_model, need_model
from photoindex.catalog.recording import Recorder
from photoindex.catalog.records import AnalysisState, EmbeddingBlock, FileRecord, NewAnalysis
from photoindex.catalog.schema import (
    AnalysisRow,
    File,
    Model,
    Photo,
    PhotoTagRow,
    TokensRow,
)
from photoindex.catalog.tokens import unpack_embeddings, unpack_floats, unpack_tokens
from photoindex.photo import FileStamp, FileState, Source
from photoindex.tagger import Ids, StoredPhoto

_EMBEDDINGS = 4096  # analyses read in one go without their tokens
_PHOTOS = 256  # and with them: about 20 MB


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
            recorder = Recorder(connection, need_model(connection, model_id))
            photo_ids = [recorder.record(item) for item in batch]
            if batch:
                recorder.finish()
        return photo_ids

    def has(self, photo_id: int, model_id: str) -> bool:
        """Whether a model has analysed a photo."""
        query = (
            select(AnalysisRow.id)
            .join(Model)
            .where(AnalysisRow.photo_id == photo_id, Model.model_id == model_id)
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def awaiting_count(self, model_id: str) -> int:
        """How many photos with a present file a model has yet to analyse."""
        with self._database.read() as connection:
            model = find_model(connection, model_id)
            return connection.execute(
                select(func.count()).select_from(Photo).where(_awaits(model))
            ).scalar_one()

    def awaiting(self, model_id: str) -> Iterator[FileRecord]:
        """One present file of each photo that a model has yet to analyse.

        Photos that get their analysis while this runs are left out where it has not come yet.
        """
        last = 0
        while True:
            with self._database.read() as connection:
                model = find_model(connection, model_id)
                photos = as_ids(
                    connection.execute(
                        select(Photo.id)
                        .where(Photo.id > last, _awaits(model))
                        .order_by(Photo.id)
                        .limit(_PHOTOS)
                    )
                )
                if not len(photos):
                    return
                last = int(photos[-1])
                files = connection.execute(
                    select(File, func.min(File.path))  # SQLite: the other columns of that row
                    .where(among(File.photo_id, photos), File.state == FileState.PRESENT)
                    .group_by(File.photo_id)
                ).all()
            for row in files:
                stamp = FileStamp(row.size, row.mtime_ns, row.inode, row.device)
                yield FileRecord(row.path, stamp, FileState.PRESENT, row.photo_id, None)

    def state(self, model_id: str) -> AnalysisState:
        """How far a model's analyses have come; of an unknown model, nowhere."""
        query = (
            select(
                Model.generation,
                func.count(AnalysisRow.id),
                func.coalesce(func.max(AnalysisRow.id), 0),
            )
            .outerjoin(AnalysisRow)
            .where(Model.model_id == model_id)
            .group_by(Model.id)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return AnalysisState(0, 0, 0) if row is None else AnalysisState(*row)

    def photo_ids(self, model_id: str) -> Ids:
        """The photos that a model has analysed, ascending."""
        query = (
            select(AnalysisRow.photo_id)
            .join(Model)
            .where(Model.model_id == model_id)
            .order_by(AnalysisRow.photo_id)
        )
        with self._database.read() as connection:
            return as_ids(connection.execute(query))

    def embeddings(self, model_id: str, after: int = 0) -> Iterator[EmbeddingBlock]:
        """A model's embeddings in blocks, oldest first, from the analysis after number `after`."""
        while True:
            with self._database.read() as connection:
                model = find_model(connection, model_id)
                rows = connection.execute(
                    select(AnalysisRow.id, AnalysisRow.photo_id, AnalysisRow.embedding)
                    .where(AnalysisRow.model_id == model, AnalysisRow.id > after)
                    .order_by(AnalysisRow.id)
                    .limit(_EMBEDDINGS)
                ).all()
            if not rows:
                return
            after = rows[-1].id
            yield EmbeddingBlock(
                np.array([row.photo_id for row in rows], dtype=np.int64),
                unpack_embeddings([row.embedding for row in rows], len(rows[0].embedding) // 4),
                after,
            )

    def stored(
        self, model_id: str, photo_ids: Ids | Sequence[int] | None = None
    ) -> Iterator[tuple[Ids, list[StoredPhoto]]]:
        """What a model stored, in blocks of at most 256 photos.

        In the order of `photo_ids`, leaving out those it has not analysed; without them all, in
        the order of analysis.
        """
        if photo_ids is None:
            yield from self._all_stored(model_id)
            return
        asked = np.asarray(photo_ids, dtype=np.int64)
        for start in range(0, len(asked), _PHOTOS):
            block = asked[start : start + _PHOTOS]
            with self._database.read() as connection:
                query = _stored_rows(find_model(connection, model_id))
                rows = connection.execute(query.where(among(AnalysisRow.photo_id, block))).all()
            found = {row.photo_id: _stored(row) for row in rows}
            there = [int(photo_id) for photo_id in block if int(photo_id) in found]
            if there:
                yield np.array(there, dtype=np.int64), [found[photo_id] for photo_id in there]

    def _all_stored(self, model_id: str) -> Iterator[tuple[Ids, list[StoredPhoto]]]:
        last = 0
        while True:
            with self._database.read() as connection:
                rows = connection.execute(
                    _stored_rows(find_model(connection, model_id))
                    .where(AnalysisRow.id > last)
                    .order_by(AnalysisRow.id)
                    .limit(_PHOTOS)
                ).all()
            if not rows:
                return
            last = rows[-1].id
            ids = np.array([row.photo_id for row in rows], dtype=np.int64)
            yield ids, [_stored(row) for row in rows]

    def purge(self, deleted_before: datetime) -> tuple[int, ...]:
        """Forget photos whose files were all deleted before a moment, or replaced.

        Photos that carry tags of people are kept. Returns the ids of the forgotten photos.
        """
        held = exists().where(
            File.photo_id == Photo.id,
            or_(File.state != FileState.DELETED, File.deleted_at >= deleted_before),
        )
        by_people = exists().where(
            PhotoTagRow.photo_id == Photo.id,
            PhotoTagRow.source.in_((Source.USER, Source.IMPORTED)),
        )
        with self._database.write() as connection:
            gone = as_ids(connection.execute(select(Photo.id).where(~held, ~by_people)))
            analysed = select(AnalysisRow.model_id).where(among(AnalysisRow.photo_id, gone))
            connection.execute(
                update(Model).where(Model.id.in_(analysed)).values(generation=func.random())
            )
            connection.execute(delete(Photo).where(among(Photo.id, gone)))
            connection.execute(
                delete(File).where(
                    File.state == FileState.DELETED, File.deleted_at < deleted_before
                )
            )
        return tuple(gone.tolist())


def _awaits(model: int | None) -> Any:
    present = exists().where(File.photo_id == Photo.id, File.state == FileState.PRESENT)
    analysed = exists().where(AnalysisRow.photo_id == Photo.id, AnalysisRow.model_id == model)
    return present & ~analysed


def _stored_rows(model: int | None) -> Any:
    return (
        select(
            AnalysisRow.id,
            AnalysisRow.photo_id,
            AnalysisRow.embedding,
            TokensRow.values.label("token_values"),
            TokensRow.scales,
            TokensRow.width,
        )
        .outerjoin(TokensRow)
        .where(AnalysisRow.model_id == model)
    )


def _stored(row: Any) -> StoredPhoto:
    tokens = None
    if row.token_values is not None:
        tokens = unpack_tokens(row.token_values, row.scales, row.width)
    return StoredPhoto(unpack_floats(row.embedding, len(row.embedding) // 4)[0], tokens)
