"""The tables, described. Changing one needs a script in migrations/versions and a new `REVISION`.

Only migrations and tests import this: at run time the catalog speaks plain SQL (ADR 5), so that
no search pays for importing SQLAlchemy. `REVISION` is in migrate.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    # Every constraint has a name: SQLite can only alter a table by rebuilding it, and Alembic
    # finds what to keep by name.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[type, Any]] = {float: Double()}


def _owner(column: str) -> ForeignKey:
    """A row that goes when the row it belongs to goes."""
    return ForeignKey(column, ondelete="CASCADE")


class Folder(Base):
    """A watched folder."""

    __tablename__ = "folders"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[bytes] = mapped_column(unique=True)
    device: Mapped[int | None] = mapped_column(BigInteger)  # unsigned in signed: see columns.py
    online: Mapped[bool]


class File(Base):
    """Where a photo lies, or a file that could not be read; a folder is a range of the key."""

    __tablename__ = "files"
    __table_args__ = (
        Index(None, "photo_id", "state"),
        Index("ix_files_failed", "path", sqlite_where=text("failure IS NOT NULL")),
        CheckConstraint("state IN ('present', 'offline', 'deleted')", name="state"),
        {"sqlite_with_rowid": False},
    )

    path: Mapped[bytes] = mapped_column(primary_key=True)  # as the file system gives it
    photo_id: Mapped[int | None] = mapped_column(_owner("photos.id"))
    size: Mapped[int]
    mtime_ns: Mapped[int]
    inode: Mapped[int] = mapped_column(BigInteger)
    device: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String)
    failure: Mapped[str | None]
    deleted_at: Mapped[datetime | None]  # UTC


class Photo(Base):
    """A content, whatever files hold it. Ids are never used twice."""

    __tablename__ = "photos"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str]
    taken_at: Mapped[datetime | None]  # the camera's clock, no zone
    camera: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    added_at: Mapped[datetime]  # UTC


class Model(Base):
    """A model that has been used here."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    embedding_size: Mapped[int]
    token_count: Mapped[int | None]  # known from the first analysis on
    token_width: Mapped[int | None]
    active: Mapped[bool]
    # A number drawn anew by every transaction that changes its analyses. Not a counter: that would
    # come to the same number by another way after a backup was restored.
    generation: Mapped[int]


class AnalysisRow(Base):
    """What one model saw in one photo. Ids are never used twice, so "newer than" is "greater"."""

    __tablename__ = "analyses"
    __table_args__ = (
        UniqueConstraint("photo_id", "model_id"),
        # SQLite appends the id, so one model's analyses come out in their order.
        Index(None, "model_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    photo_id: Mapped[int] = mapped_column(_owner("photos.id"))
    model_id: Mapped[int] = mapped_column(_owner("models.id"))
    embedding: Mapped[bytes]  # little-endian float32
    analysed_at: Mapped[datetime]  # UTC


class TokensRow(Base):
    """An analysis' image tokens, apart so that reading embeddings skips them (see tokens.py)."""

    __tablename__ = "image_tokens"

    analysis_id: Mapped[int] = mapped_column(_owner("analyses.id"), primary_key=True)
    values: Mapped[bytes]  # int8
    scales: Mapped[bytes]  # little-endian float32, one a token
    width: Mapped[int]


class AnalysisTags(Base):
    """What an analysis says of tags, photo by photo: tag_postings has the same tag by tag."""

    __tablename__ = "analysis_tags"

    analysis_id: Mapped[int] = mapped_column(_owner("analyses.id"), primary_key=True)
    tag_ids: Mapped[bytes]  # little-endian uint32
    probabilities: Mapped[bytes]  # little-endian float64, in the same order


class TagRow(Base):
    """A name that photos can carry."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(collation="NOCASE"), unique=True)
    name_zh: Mapped[str | None] = mapped_column(index=True)


class VocabularyEntry(Base):
    """A tag that a model can say, and from which probability on it counts."""

    __tablename__ = "vocabulary"
    __table_args__ = (Index(None, "tag_id"), {"sqlite_with_rowid": False})

    model_id: Mapped[int] = mapped_column(_owner("models.id"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(_owner("tags.id"), primary_key=True)
    threshold: Mapped[float]
    position: Mapped[int]


class ConceptRow(Base):
    """An open-set label given by descriptions. A changed one is a new row with an id never used."""

    __tablename__ = "concepts"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    tag_id: Mapped[int] = mapped_column(_owner("tags.id"), unique=True)
    name_zh: Mapped[str | None] = mapped_column(index=True)
    threshold: Mapped[float]
    descriptions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime]  # UTC


class ConceptEmbedding(Base):
    """A concept's description embeddings by one model."""

    __tablename__ = "concept_embeddings"
    __table_args__ = ({"sqlite_with_rowid": False},)

    concept_id: Mapped[int] = mapped_column(_owner("concepts.id"), primary_key=True)
    model_id: Mapped[int] = mapped_column(_owner("models.id"), primary_key=True)
    embeddings: Mapped[bytes]  # little-endian float32, (count, width)
    count: Mapped[int]


class Unscored(Base):
    """A photo that a concept has not been scored on: it was recorded while the other was added."""

    __tablename__ = "unscored"
    __table_args__ = (Index(None, "photo_id"), {"sqlite_with_rowid": False})

    concept_id: Mapped[int] = mapped_column(_owner("concepts.id"), primary_key=True)
    model_id: Mapped[int] = mapped_column(_owner("models.id"), primary_key=True)
    photo_id: Mapped[int] = mapped_column(_owner("photos.id"), primary_key=True)


class PhotoTagRow(Base):
    """What the user or an import says of one photo and one tag: 1, or 0 where it was taken away."""

    __tablename__ = "photo_tags"
    __table_args__ = (
        Index(None, "tag_id", "probability"),
        CheckConstraint("source IN ('user', 'imported')", name="source"),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        {"sqlite_with_rowid": False},
    )

    photo_id: Mapped[int] = mapped_column(_owner("photos.id"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(_owner("tags.id"), primary_key=True)
    source: Mapped[str] = mapped_column(String, primary_key=True)
    probability: Mapped[float]


class Postings(Base):
    """The photos of one chunk on which a model or a concept says something of a tag.

    See postings.py: offsets are ascending little-endian uint16, probabilities float32. No key of
    another table is referred to: to delete a tag would read the whole table.
    """

    __tablename__ = "tag_postings"
    __table_args__ = (
        CheckConstraint("source IN ('model', 'concept')", name="source"),
        {"sqlite_with_rowid": False},
    )

    chunk: Mapped[int] = mapped_column(primary_key=True)
    tag_id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String, primary_key=True)
    model_id: Mapped[int] = mapped_column(primary_key=True)
    offsets: Mapped[bytes]
    probabilities: Mapped[bytes]


class AnalysedChunk(Base):
    """Which photos of a chunk a model has analysed, one bit each."""

    __tablename__ = "analysed_chunks"
    __table_args__ = ({"sqlite_with_rowid": False},)

    model_id: Mapped[int] = mapped_column(_owner("models.id"), primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True)
    photos: Mapped[bytes]


class PhotoChunk(Base):
    """Which photos of a chunk some file holds, and their times: see moments.py."""

    __tablename__ = "photo_chunks"

    chunk: Mapped[int] = mapped_column(primary_key=True)
    live: Mapped[bytes]  # one bit each
    taken: Mapped[bytes]  # little-endian int64 each
    written: Mapped[bytes]  # little-endian int64 each


class TouchedPhoto(Base):
    """A photo whose entry in photo_chunks is due; the triggers below see every cause.

    Empty between transactions. A photo may be in it twice.
    """

    __tablename__ = "touched_photos"

    id: Mapped[int] = mapped_column(primary_key=True)
    photo_id: Mapped[int]


class Setting(Base):
    """A value kept with the library."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


_TRIGGERS = (
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
for _statement in _TRIGGERS:
    event.listen(Base.metadata, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
