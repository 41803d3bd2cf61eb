"""Photos: what they are, where they lie, and which ones meet a filter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select

from photoindex.catalog.columns import range_under
from photoindex.catalog.database import Database
from photoindex.catalog.ids import among, as_ids, as_list
from photoindex.catalog.models import active_model
from photoindex.catalog.records import PhotoFilter, PhotoRecord
from photoindex.catalog.schema import File, Photo
from photoindex.catalog.shown import Narrowing, figures, live
from photoindex.photo import FileState, Metadata, PhotoFacts
from photoindex.tagger import AnyIds, Floats, Ids

_HERE = (FileState.PRESENT, FileState.OFFLINE)


class Photos:
    """Contents by id, hash or path."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def many(self, photo_ids: AnyIds) -> list[PhotoRecord]:
        """Photos in the order asked for; unknown ids are left out."""
        asked = as_list(photo_ids)
        with self._database.read() as connection:
            found = _records(connection, among(Photo.id, asked), among(File.photo_id, asked))
        return [found[photo_id] for photo_id in asked if photo_id in found]

    def by_hash(self, hash: str) -> PhotoRecord | None:
        """The photo with this content, or None; also one whose files are all deleted."""
        return self._one(Photo.hash == hash)

    def at(self, path: Path) -> PhotoRecord | None:
        """The photo that a file holds, None where none is known or the file is deleted."""
        holder = select(File.photo_id).where(File.path == path, File.state.in_(_HERE))
        return self._one(Photo.id == holder.scalar_subquery())

    def _one(self, condition: ColumnElement[bool]) -> PhotoRecord | None:
        holder = select(Photo.id).where(condition).scalar_subquery()
        with self._database.read() as connection:
            return next(
                iter(_records(connection, condition, File.photo_id == holder).values()), None
            )

    def select(self, wanted: PhotoFilter) -> Ids:
        """The ids of the photos that meet a filter, ascending."""
        with self._database.read() as connection:
            active = active_model(connection)
            query = select(Photo.id).where(live(Photo.id)).order_by(Photo.id)
            for tags in wanted.all_of:
                query = query.where(Photo.id.in_(_showing(tags, active, wanted.min_probability)))
            if wanted.none_of:
                query = query.where(
                    Photo.id.not_in(_showing(wanted.none_of, active, wanted.min_probability))
                )
            if wanted.after is not None or wanted.before is not None:
                query = query.where(_taken(wanted.after, wanted.before))
            if wanted.folders:
                query = query.where(Photo.id.in_(_inside(wanted.folders)))
            return as_ids(connection.execute(query))

    def newest(self, photo_ids: AnyIds) -> Ids:
        """The same photos, last taken first; by the oldest file's time where no camera told."""
        taken = func.coalesce(
            func.unixepoch(Photo.taken_at, "utc") * literal(1_000_000_000), _file_time()
        )
        query = select(Photo.id).where(among(Photo.id, photo_ids)).order_by(taken.desc(), Photo.id)
        with self._database.read() as connection:
            return as_ids(connection.execute(query))

    def probability(self, photo_ids: AnyIds, tag_ids: Sequence[int]) -> Floats:
        """How probable each tag is on each photo, thresholds aside: (photos, tags) float32.

        0 where nothing is stored or the user took the tag away, 1 where the user gave it.
        """
        asked = as_list(photo_ids)
        table = np.zeros((len(asked), len(tag_ids)), dtype=np.float32)
        place = {photo_id: index for index, photo_id in enumerate(asked)}
        column = {tag_id: index for index, tag_id in enumerate(tag_ids)}
        with self._database.read() as connection:
            rows = figures(
                Narrowing(tuple(tag_ids), asked), active_model(connection), min_probability=0.0
            ).c
            query = select(rows.photo_id, rows.tag_id, func.max(rows.probability)).group_by(
                rows.photo_id, rows.tag_id
            )
            for photo_id, tag_id, probability in connection.execute(query):
                table[place[photo_id], column[tag_id]] = probability
        return table


def _showing(tags: Sequence[int], active: int | None, min_probability: float | None) -> Any:
    shown = figures(Narrowing(tuple(tags)), active, min_probability=min_probability)
    return select(shown.c.photo_id)


def _inside(folders: Sequence[Path]) -> Any:
    ranges = [range_under(folder) for folder in folders]
    inside = or_(*(and_(File.path >= first, File.path < end) for first, end in ranges))
    return select(File.photo_id).where(inside, File.state.in_(_HERE), File.photo_id.is_not(None))


def _taken(after: datetime | None, before: datetime | None) -> ColumnElement[bool]:
    """Taken in [after, before) by the camera's clock; by the oldest file's time without one."""
    by_camera: list[ColumnElement[bool]] = [Photo.taken_at.is_not(None)]
    file_time = _file_time()
    by_file: list[ColumnElement[bool]] = [Photo.taken_at.is_(None)]
    if after is not None:
        by_camera.append(Photo.taken_at >= after)
        by_file.append(file_time >= _nanoseconds(after))
    if before is not None:
        by_camera.append(Photo.taken_at < before)
        by_file.append(file_time < _nanoseconds(before))
    return or_(and_(*by_camera), and_(*by_file))


def _file_time() -> Any:
    """When a photo's oldest file was last written, in nanoseconds since 1970."""
    return (
        select(func.min(File.mtime_ns))
        .where(File.photo_id == Photo.id, File.state.in_(_HERE))
        .scalar_subquery()
    )


def _nanoseconds(moment: datetime) -> int:
    """Since 1970, as a file's time is; years that no file time can name count as the nearest."""
    near = min(max(moment, datetime(1678, 1, 1)), datetime(2262, 1, 1))
    return int(near.timestamp()) * 1_000_000_000 + near.microsecond * 1000


def _records(
    connection: Connection, photos: ColumnElement[bool], files: ColumnElement[bool]
) -> dict[int, PhotoRecord]:
    """Id → photo for the photos and the files that meet the two conditions."""
    held: dict[int, list[Path]] = {}
    query = (
        select(File.photo_id, File.path)
        .where(files, File.state.in_(_HERE))
        .order_by(File.state.desc(), File.path)  # "present" sorts after "offline"
    )
    for photo_id, path in connection.execute(query):
        held.setdefault(photo_id or 0, []).append(path)
    rows = connection.execute(select(*_FACTS).where(photos))
    return {row.id: PhotoRecord(row.id, _facts(row), tuple(held.get(row.id, ()))) for row in rows}


_FACTS = (
    Photo.id,
    Photo.hash,
    Photo.size,
    Photo.width,
    Photo.height,
    Photo.format,
    Photo.taken_at,
    Photo.camera,
    Photo.latitude,
    Photo.longitude,
)


def _facts(row: Any) -> PhotoFacts:
    return PhotoFacts(
        row.hash,
        row.size,
        row.width,
        row.height,
        row.format,
        Metadata(row.taken_at, row.camera, row.latitude, row.longitude),
    )
