"""Tags by the chunk of photos, photos' times by the chunk, and files keyed by their paths.

What models and concepts say moves from a row a figure to tag_postings (tag by tag) and
analysis_tags (photo by photo); photo_tags keeps what people say.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHUNK = 4096
NO_CAMERA = NO_PHOTO = np.iinfo(np.int64).min
NO_FILE = NO_PHOTO + 1

TRIGGERS = (
    """CREATE TRIGGER photo_added AFTER INSERT ON photos
    BEGIN INSERT INTO touched_photos (photo_id) VALUES (new.id); END""",
    """CREATE TRIGGER photo_taken AFTER UPDATE OF taken_at ON photos
    WHEN old.taken_at IS NOT new.taken_at
    BEGIN INSERT INTO touched_photos (photo_id) VALUES (new.id); END""",
    """CREATE TRIGGER photo_forgotten AFTER DELETE ON photos
    BEGIN INSERT INTO touched_photos (photo_id) VALUES (old.id); END""",
    """CREATE TRIGGER file_added AFTER INSERT ON files WHEN new.photo_id IS NOT NULL
    BEGIN INSERT INTO touched_photos (photo_id) VALUES (new.photo_id); END""",
    """CREATE TRIGGER file_changed AFTER UPDATE OF photo_id, mtime_ns, state ON files
    WHEN old.photo_id IS NOT new.photo_id OR old.mtime_ns <> new.mtime_ns
    OR (old.state = 'deleted') <> (new.state = 'deleted')
    BEGIN INSERT INTO touched_photos (photo_id)
    SELECT old.photo_id WHERE old.photo_id IS NOT NULL
    UNION SELECT new.photo_id WHERE new.photo_id IS NOT NULL; END""",
    """CREATE TRIGGER file_forgotten AFTER DELETE ON files WHEN old.photo_id IS NOT NULL
    BEGIN INSERT INTO touched_photos (photo_id) VALUES (old.photo_id); END""",
)


def upgrade() -> None:
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    _create_derived()
    _fill_figures(driver)
    _fill_analysed(driver)
    _keep_people()
    _key_files()
    op.drop_index("ix_photos_taken_at", "photos")
    _fill_times(driver)
    for trigger in TRIGGERS:
        op.execute(trigger)


def _create_derived() -> None:
    op.create_table(
        "analysis_tags",
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("tag_ids", sa.LargeBinary(), nullable=False),
        sa.Column("probabilities", sa.LargeBinary(), nullable=False),
        _owner("analysis_tags", "analysis_id", "analyses"),
        sa.PrimaryKeyConstraint("analysis_id", name=op.f("pk_analysis_tags")),
    )
    op.create_table(
        "tag_postings",
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("offsets", sa.LargeBinary(), nullable=False),
        sa.Column("probabilities", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("source IN ('model', 'concept')", name=op.f("ck_tag_postings_source")),
        sa.PrimaryKeyConstraint(
            "chunk", "tag_id", "source", "model_id", name=op.f("pk_tag_postings")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "analysed_chunks",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("photos", sa.LargeBinary(), nullable=False),
        _owner("analysed_chunks", "model_id", "models"),
        sa.PrimaryKeyConstraint("model_id", "chunk", name=op.f("pk_analysed_chunks")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "photo_chunks",
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("live", sa.LargeBinary(), nullable=False),
        sa.Column("taken", sa.LargeBinary(), nullable=False),
        sa.Column("written", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chunk", name=op.f("pk_photo_chunks")),
    )
    op.create_table(
        "touched_photos",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("photo_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touched_photos")),
    )


def _fill_figures(driver: sqlite3.Connection) -> None:
    """Chunk by chunk, in the order of both old and new keys."""
    (last,) = driver.execute("SELECT max(id) FROM photos").fetchone()
    for chunk in range(0 if last is None else last // CHUNK + 1):
        figures = driver.execute(
            "SELECT tag_id, source, model_id, photo_id, probability FROM photo_tags"
            " WHERE photo_id >= ? AND photo_id < ? AND source IN ('model', 'concept')",
            (chunk * CHUNK, (chunk + 1) * CHUNK),
        ).fetchall()
        figures.sort()
        driver.executemany(
            "INSERT INTO tag_postings VALUES (?, ?, ?, ?, ?, ?)", _of_tags(chunk, figures)
        )
        numbers = {
            (model, photo_id): analysis
            for model, photo_id, analysis in driver.execute(
                "SELECT model_id, photo_id, id FROM analyses WHERE photo_id >= ? AND photo_id < ?",
                (chunk * CHUNK, (chunk + 1) * CHUNK),
            )
        }
        driver.executemany(
            "INSERT INTO analysis_tags VALUES (?, ?, ?)", _of_analyses(numbers, figures)
        )


_Figure = tuple[int, str, int, int, float]  # tag, source, model, photo, probability


def _of_tags(
    chunk: int, figures: Iterable[_Figure]
) -> Iterator[tuple[int, int, str, int, bytes, bytes]]:
    for (tag_id, source, model), part in itertools.groupby(figures, lambda row: row[:3]):
        _, _, _, photos, probabilities = zip(*part, strict=True)
        offsets = (np.array(photos) % CHUNK).astype("<u2").tobytes()
        values = np.array(probabilities, dtype="<f4").tobytes()
        yield chunk, tag_id, source, model, offsets, values


def _of_analyses(
    numbers: Mapping[tuple[int, int], int], figures: Iterable[_Figure]
) -> Iterator[tuple[int, bytes, bytes]]:
    said: dict[int, dict[int, float]] = {}
    for tag_id, source, model, photo_id, probability in figures:
        analysis = numbers.get((model, photo_id))
        if source == "model" and analysis is not None:
            said.setdefault(analysis, {})[tag_id] = probability
    for analysis, tags in sorted(said.items()):
        yield (
            analysis,
            np.array(list(tags), dtype="<u4").tobytes(),
            np.array(list(tags.values()), dtype="<f8").tobytes(),
        )


def _fill_analysed(driver: sqlite3.Connection) -> None:
    for (model,) in driver.execute("SELECT id FROM models").fetchall():
        rows = driver.execute(
            "SELECT photo_id FROM analyses WHERE model_id = ? ORDER BY photo_id", (model,)
        ).fetchall()
        for chunk, part in itertools.groupby(rows, lambda row: row[0] // CHUNK):
            flags = np.zeros(CHUNK, dtype=bool)
            flags[[photo_id % CHUNK for (photo_id,) in part]] = True
            driver.execute(
                "INSERT INTO analysed_chunks VALUES (?, ?, ?)", (model, chunk, _bits(flags))
            )


def _keep_people() -> None:
    """photo_tags with what people say alone."""
    for index in ("tag_id_probability", "rejected"):
        op.drop_index(f"ix_photo_tags_{index}", "photo_tags")
    op.drop_index("uq_photo_tags_by_people", "photo_tags")
    op.rename_table("photo_tags", "figures")
    op.create_table(
        "photo_tags",
        sa.Column("photo_id", sa.Integer(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.CheckConstraint("source IN ('user', 'imported')", name=op.f("ck_photo_tags_source")),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_photo_tags_probability")),
        _owner("photo_tags", "photo_id", "photos"),
        _owner("photo_tags", "tag_id", "tags"),
        sa.PrimaryKeyConstraint("photo_id", "tag_id", "source", name=op.f("pk_photo_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_photo_tags_tag_id_probability"), "photo_tags", ["tag_id", "probability"]
    )
    op.execute(
        "INSERT INTO photo_tags SELECT photo_id, tag_id, source, probability FROM figures"
        " WHERE model_id IS NULL ORDER BY photo_id, tag_id, source"
    )
    op.drop_table("figures")


def _key_files() -> None:
    """A folder's files become a range of the table itself."""
    op.drop_index("ix_files_photo_id_state", "files")
    op.rename_table("files", "numbered_files")
    op.create_table(
        "files",
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("photo_id", sa.Integer(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint(
            "state IN ('present', 'offline', 'deleted')", name=op.f("ck_files_state")
        ),
        _owner("files", "photo_id", "photos"),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_files")),
        sqlite_with_rowid=False,
    )
    columns = "path, photo_id, size, mtime_ns, inode, device, state, failure, deleted_at"
    op.execute(f"INSERT INTO files ({columns}) SELECT {columns} FROM numbered_files ORDER BY path")
    op.drop_table("numbered_files")
    op.create_index(op.f("ix_files_photo_id_state"), "files", ["photo_id", "state"])
    op.create_index(
        "ix_files_failed", "files", ["path"], sqlite_where=sa.text("failure IS NOT NULL")
    )


def _fill_times(driver: sqlite3.Connection) -> None:
    rows = driver.execute(
        "SELECT id, taken_at, (SELECT min(mtime_ns) FROM files WHERE files.photo_id = photos.id"
        " AND state IN ('present', 'offline')) FROM photos ORDER BY id"
    )
    for chunk, part in itertools.groupby(rows, lambda row: row[0] // CHUNK):
        by_camera, by_file = np.full(CHUNK, NO_CAMERA), np.full(CHUNK, NO_PHOTO)
        for photo_id, taken_at, mtime_ns in part:
            by_camera[photo_id % CHUNK] = NO_CAMERA if taken_at is None else _clock(taken_at)
            by_file[photo_id % CHUNK] = NO_FILE if mtime_ns is None else mtime_ns
        driver.execute(
            "INSERT INTO photo_chunks VALUES (?, ?, ?, ?)",
            (
                chunk,
                _bits(by_file > NO_FILE),
                by_camera.astype("<i8").tobytes(),
                by_file.astype("<i8").tobytes(),
            ),
        )


def _clock(taken_at: str) -> int:
    """Microseconds on the camera's clock since its 1970."""
    moment = datetime.fromisoformat(taken_at).replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _bits(flags: np.ndarray) -> bytes:
    return np.packbits(flags, bitorder="little").tobytes()


def _owner(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE"
    )
