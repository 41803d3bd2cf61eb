"""The tables. Changing one needs a script in migrations/versions and a new `REVISION`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from photoindex.catalog.columns import MomentColumn, PathColumn, UnsignedColumn

REVISION = "0002"
"""The newest script in migrations/versions: what a database of this version carries."""


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
    path: Mapped[Path] = mapped_column(PathColumn, unique=True)
    device: Mapped[int | None] = mapped_column(UnsignedColumn)
    online: Mapped[bool]


class File(Base):
    """Where a photo lies, or a file that could not be read."""

    __tablename__ = "files"
    __table_args__ = (
        Index(None, "photo_id", "state"),
        CheckConstraint("state IN ('present', 'offline', 'deleted')", name="state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[Path] = mapped_column(PathColumn, unique=True)
    photo_id: Mapped[int | None] = mapped_column(_owner("photos.id"))
    size: Mapped[int]
    mtime_ns: Mapped[int]
    inode: Mapped[int] = mapped_column(UnsignedColumn)
    device: Mapped[int] = mapped_column(UnsignedColumn)
    state: Mapped[str] = mapped_column(String)
    failure: Mapped[str | None]
    deleted_at: Mapped[datetime | None] = mapped_column(MomentColumn)


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
    taken_at: Mapped[datetime | None] = mapped_column(index=True)  # the camera's clock, no zone
    camera: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    added_at: Mapped[datetime] = mapped_column(MomentColumn)


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
    analysed_at: Mapped[datetime] = mapped_column(MomentColumn)


class TokensRow(Base):
    """An analysis' image tokens, apart so that reading embeddings skips them (see tokens.py)."""

    __tablename__ = "image_tokens"

    analysis_id: Mapped[int] = mapped_column(_owner("analyses.id"), primary_key=True)
    values: Mapped[bytes]  # int8
    scales: Mapped[bytes]  # little-endian float32, one a token
    width: Mapped[int]


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
    created_at: Mapped[datetime] = mapped_column(MomentColumn)


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
    """What one source says of one photo and one tag."""

    __tablename__ = "photo_tags"
    __table_args__ = (
        UniqueConstraint("photo_id", "tag_id", "source", "model_id"),
        # NULLs differ from each other in the constraint above.
        Index(
            "uq_photo_tags_by_people",
            "photo_id",
            "tag_id",
            "source",
            unique=True,
            sqlite_where=text("model_id IS NULL"),
        ),
        Index(
            "ix_photo_tags_rejected",
            "tag_id",
            "photo_id",
            sqlite_where=text("source = 'user' AND probability = 0"),
        ),
        CheckConstraint("source IN ('model', 'concept', 'user', 'imported')", name="source"),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        CheckConstraint(
            "(model_id IS NULL) = (source IN ('user', 'imported'))", name="figures_name_their_model"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    photo_id: Mapped[int] = mapped_column(_owner("photos.id"))
    tag_id: Mapped[int] = mapped_column(_owner("tags.id"))
    source: Mapped[str] = mapped_column(String)
    model_id: Mapped[int | None] = mapped_column(_owner("models.id"))
    probability: Mapped[float]


# Answers "which photos show this tag" from the index alone.
Index(
    "ix_photo_tags_tag_id_probability",
    PhotoTagRow.tag_id,
    PhotoTagRow.probability.desc(),
    PhotoTagRow.photo_id,
    PhotoTagRow.source,
    PhotoTagRow.model_id,
)


class Setting(Base):
    """A value kept with the library."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
