"""When each photo was taken, and whether some file holds it: of all photos at once.

One row a chunk (see chunks.py) has the camera's time and the oldest file's time of its photos.
Triggers note every photo for which that may have changed (see schema.py), and `settle` writes the
times of those anew, at the end of the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoindex.catalog.chunks import CHUNK, Flags, pack_flags, spans, unpack_flags
from photoindex.catalog.columns import text_clock
from photoindex.tagger import Ids

_NO_CAMERA = np.iinfo(np.int64).min
_NO_FILE = np.iinfo(np.int64).min + 1  # there is a photo, but no file that holds it now
_NO_PHOTO = np.iinfo(np.int64).min
_SECOND = 1_000_000  # microseconds, in which cameras' times are kept
_DAY = 86_400 * _SECOND
_ZONES = 2 * _DAY  # no local clock is that far from UTC

_TOUCHED = """
    SELECT touched.photo_id, photos.id, photos.taken_at, (
        SELECT min(mtime_ns) FROM files
        WHERE files.photo_id = touched.photo_id AND state IN ('present', 'offline')
    )
    FROM (SELECT DISTINCT photo_id FROM touched_photos) AS touched
    LEFT JOIN photos ON photos.id = touched.photo_id
    ORDER BY touched.photo_id"""
_LIVE = "SELECT chunk, live FROM photo_chunks"
_TAKEN = "SELECT chunk, taken FROM photo_chunks"
_WRITTEN = "SELECT chunk, written FROM photo_chunks"
_ONE = "SELECT taken, written FROM photo_chunks WHERE chunk = ?"
_PUT = "INSERT OR REPLACE INTO photo_chunks (chunk, live, taken, written) VALUES (?, ?, ?, ?)"

Times = NDArray[np.int64]


def settle(connection: sqlite3.Connection) -> None:
    """Bring the chunks up to date with what the transaction did to photos and files."""
    rows = connection.execute(_TOUCHED).fetchall()
    if not rows:
        return
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    taken = np.array([_camera_time(row[2]) for row in rows], dtype=np.int64)
    written = np.array([_file_time(row[1], row[3]) for row in rows], dtype=np.int64)
    for chunk, here in spans(ids):
        by_camera, by_file = _chunk(connection, chunk)
        by_camera[ids[here] % CHUNK] = taken[here]
        by_file[ids[here] % CHUNK] = written[here]
        live = pack_flags(by_file > _NO_FILE)
        connection.execute(_PUT, (chunk, live, _packed(by_camera), _packed(by_file)))
    connection.execute("DELETE FROM touched_photos")


def live(connection: sqlite3.Connection, size: int) -> Flags:
    """(size,) bool: which photos some file holds, if only on a disk that is not mounted."""
    return unpack_flags(connection.execute(_LIVE), size)


def without_file(connection: sqlite3.Connection, size: int) -> Ids:
    """(n,) int64, ascending: the photos that no file holds now."""
    written = _times(connection, _WRITTEN, size, _NO_PHOTO)
    return np.flatnonzero(written == _NO_FILE)


def taken_between(
    connection: sqlite3.Connection, size: int, after: datetime | None, before: datetime | None
) -> Flags:
    """(size,) bool: which photos were taken in [after, before).

    By the camera's clock; by the oldest file's time where no camera told.
    """
    by_camera = _times(connection, _TAKEN, size, _NO_CAMERA)
    by_file = _times(connection, _WRITTEN, size, _NO_PHOTO)
    told = by_camera != _NO_CAMERA
    inside = np.ones(size, dtype=bool)
    if after is not None:
        inside &= np.where(told, by_camera >= _clock(after), by_file >= _nanoseconds(after))
    if before is not None:
        inside &= np.where(told, by_camera < _clock(before), by_file < _nanoseconds(before))
    return inside & (by_file > _NO_FILE)


def newest(
    connection: sqlite3.Connection, size: int, photo_ids: Ids, first: int | None = None
) -> Ids:
    """The known ones among some ascending ids, last taken first, as `taken_between` has it.

    Photos that no file holds and no camera dated come last. first: how many have to be in order.
    """
    inside = photo_ids[(photo_ids >= 0) & (photo_ids < size)]
    by_file = _times(connection, _WRITTEN, size, _NO_PHOTO)[inside]
    known = by_file != _NO_PHOTO
    ids, by_file = inside[known], by_file[known]
    by_camera = _times(connection, _TAKEN, size, _NO_CAMERA)[ids]
    told = by_camera != _NO_CAMERA
    if first is None or first >= len(ids):
        return np.asarray(ids[_last_first(by_camera, by_file, told)])
    rough = np.where(told, by_camera, by_file // 1000)
    last = len(ids) - 1 - max(first, 0)
    near = rough >= np.partition(rough, last)[last] - 2 * _ZONES
    order = _last_first(by_camera[near], by_file[near], told[near])
    return np.concatenate([ids[near][order], ids[~near]])


def _last_first(by_camera: Times, by_file: Times, told: Flags) -> Ids:
    taken = by_file.copy()
    taken[told] = _in_utc(by_camera[told])
    return np.argsort(-taken, kind="stable")


def _chunk(connection: sqlite3.Connection, chunk: int) -> tuple[Times, Times]:
    row = connection.execute(_ONE, (chunk,)).fetchone()
    if row is None:
        return np.full(CHUNK, _NO_CAMERA), np.full(CHUNK, _NO_PHOTO)
    by_camera, by_file = (np.frombuffer(blob, dtype="<i8").astype(np.int64) for blob in row)
    return by_camera, by_file


def _packed(numbers: Times) -> bytes:
    return numbers.astype("<i8", copy=False).tobytes()


def _times(connection: sqlite3.Connection, query: str, size: int, missing: int) -> Times:
    found = np.full(size, missing, dtype=np.int64)
    for chunk, blob in connection.execute(query):
        found[chunk * CHUNK : (chunk + 1) * CHUNK] = np.frombuffer(blob, dtype="<i8")
    return found


def _camera_time(stored: str | None) -> int:
    moment = text_clock(stored)
    return _NO_CAMERA if moment is None else _clock(moment)


def _file_time(photo: int | None, mtime_ns: int | None) -> int:
    if photo is None:
        return _NO_PHOTO
    return _NO_FILE if mtime_ns is None else mtime_ns


def _clock(moment: datetime) -> int:
    """Microseconds on a clock that knows no zone, since its 1970."""
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds


def _nanoseconds(moment: datetime) -> int:
    """Since 1970, as a file's time is; years that no file time can name count as the nearest."""
    near = min(max(moment, datetime(1678, 1, 1)), datetime(2262, 1, 1))
    return int(near.timestamp()) * 1_000_000_000 + near.microsecond * 1000


def _in_utc(clock: Times) -> Times:
    """Microseconds on this machine's local clock as nanoseconds since 1970.

    The zone is asked for each day, and for each photo only on days that change the clock.
    """
    low, high = _clock(datetime(1678, 1, 2)), _clock(datetime(2262, 1, 1))
    near = np.clip(clock, low, high)
    days = near // _DAY
    first = int(days.min()) if len(days) else 0
    seen: Sequence[int] = (np.flatnonzero(np.bincount(days - first)) + first).tolist()
    ahead = np.zeros(len(seen), dtype=np.int64)
    steady = np.zeros(len(seen), dtype=bool)
    for row, day in enumerate(seen):
        ahead[row], tomorrow = _ahead(day * _DAY), _ahead((day + 1) * _DAY)
        steady[row] = ahead[row] == tomorrow
    row_of = np.searchsorted(np.array(seen, dtype=np.int64), days)
    result = near - ahead[row_of]
    for odd in np.flatnonzero(~steady[row_of]):
        result[odd] = near[odd] - _ahead(int(near[odd]))
    return np.asarray(result * 1000)


def _ahead(clock: int) -> int:
    """How far the local clock is ahead of UTC when it shows this, in microseconds."""
    shown: Any = datetime.fromtimestamp(clock // _SECOND, UTC).replace(tzinfo=None)
    return clock // _SECOND * _SECOND - int(shown.timestamp()) * _SECOND
