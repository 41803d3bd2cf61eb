"""Everything that a library knows, as a stream of records, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import (
    ConceptRecord,
    FolderRecord,
    ModelRecord,
    PhotoFilter,
    PhotoRecord,
    PhotoTag,
)
from photoindex.paths import absolute
from photoindex.tagger import Floats, Progress, no_progress
from photoindex.version import __version__

_BLOCK = 500  # photos at a time
_EXPORTING = "exporting photos"


@dataclass(frozen=True, slots=True)
class LibraryExport:
    """What the records after it belong to."""

    exported_at: datetime
    version: str  # of photoindex
    models: tuple[ModelRecord, ...]


@dataclass(frozen=True, slots=True)
class ExportedTag:
    """What one source says of a photo; shown: whether the photo shows a tag of this name."""

    tag: PhotoTag
    shown: bool


@dataclass(frozen=True, slots=True)
class ExportedPhoto:
    """A photo, its tags, and its (d,) float32 embedding where asked for and there."""

    photo: PhotoRecord
    tags: tuple[ExportedTag, ...]
    embedding: Floats | None
    model_id: str | None  # of the embedding


Exported = LibraryExport | FolderRecord | ConceptRecord | ExportedPhoto


def export(
    catalog: Catalog,
    folders: Sequence[Path] = (),
    embeddings: bool = False,
    progress: Progress = no_progress,
) -> Iterator[Exported]:
    """A LibraryExport, all folders, all concepts, then every photo that has a file now.

    folders: photos inside these only; embeddings: those of the active model, too.
    """
    yield LibraryExport(datetime.now(UTC).replace(microsecond=0), __version__, catalog.models.all())
    yield from catalog.folders.all()
    yield from catalog.concepts.all()
    yield from photos(catalog, folders, embeddings, progress)


def photos(
    catalog: Catalog,
    folders: Sequence[Path] = (),
    embeddings: bool = False,
    progress: Progress = no_progress,
) -> Iterator[ExportedPhoto]:
    """Every photo that has a file now, with every figure that is stored of it."""
    active = catalog.models.active() if embeddings else None
    model_id = active.model_id if active else None
    for block in photo_blocks(catalog, folders, progress, _EXPORTING):
        ids = [photo.id for photo in block]
        everything, shown = catalog.tags.of(ids, everything=True), catalog.tags.of(ids)
        vectors: dict[int, Floats] = {}
        if model_id is not None:
            analysed, rows = catalog.analyses.embeddings_of(model_id, ids)
            vectors = dict(zip(analysed.tolist(), rows, strict=True))
        for photo in block:
            names = {tag.name for tag in shown[photo.id]}
            tags = tuple(ExportedTag(tag, tag.name in names) for tag in everything[photo.id])
            vector = vectors.get(photo.id)
            yield ExportedPhoto(photo, tags, vector, None if vector is None else model_id)


def photo_blocks(
    catalog: Catalog, folders: Sequence[Path], progress: Progress, what: str
) -> Iterator[list[PhotoRecord]]:
    """Photos with a file now, some hundred at a time, in the order in which they came."""
    wanted = PhotoFilter(folders=tuple(absolute(folder) for folder in folders))
    ids = catalog.photos.select(wanted)
    for start in range(0, len(ids), _BLOCK):
        progress(what, start, len(ids))
        yield catalog.photos.many(ids[start : start + _BLOCK])
    progress(what, len(ids), len(ids))
