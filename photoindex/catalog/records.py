"""What the catalog is told and what it answers: the records that cross its border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.photo import FileStamp, FileState, FoundFile, PhotoFacts
from photoindex.photo import PhotoRecord as PhotoRecord
from photoindex.photo import PhotoTag as PhotoTag

if TYPE_CHECKING:
    from photoindex.tagger import Analysis, Concept, Floats, Ids, LabelEmbeddings


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """A watched folder; offline while its disk is not mounted."""

    path: Path
    device: int | None
    online: bool


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as it was last seen. `photo_id` is None where it could not be read: see `failure`."""

    path: Path
    stamp: FileStamp
    state: FileState
    photo_id: int | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class FileLink:
    """A file that was found to hold a known photo: a new copy, or one that came back."""

    file: FoundFile
    photo_id: int


@dataclass(frozen=True, slots=True)
class FileMove:
    """A file that was `old` and is now `file`, its content the same."""

    old: Path
    file: FoundFile


@dataclass(frozen=True, slots=True)
class FileFailure:
    """A file that cannot be read as a picture, and why.

    passing: what keeps it from being read lies outside of it, so that it is to be tried again.
    """

    file: FoundFile
    reason: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class NewAnalysis:
    """One analysed photo on its way into the catalog.

    files: where it lies (none when a known photo is analysed by another model);
    concepts: concept id → probability, for every stored concept that was scored with it.
    """

    facts: PhotoFacts
    files: tuple[FoundFile, ...]
    analysis: Analysis
    concepts: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """How far the analyses of one model have come, cheap to ask for.

    generation: differs whenever an analysis was added, replaced or removed;
    count: analyses there are; last: the newest analysis' number, which only ever grows.
    """

    generation: int
    count: int
    last: int


@dataclass(frozen=True, slots=True)
class EmbeddingBlock:
    """Some photos' embeddings of one model.

    ids: (n,) int64 photo ids; embeddings: (n, d) float32, unit length; last: the number of the
    newest analysis in the block, to go on from.
    """

    ids: Ids
    embeddings: Floats
    last: int


@dataclass(frozen=True, slots=True)
class TagRecord:
    """A tag that the library knows: from a vocabulary, a concept, or the user."""

    id: int
    name: str
    name_zh: str | None


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and the number of photos that show it."""

    tag: TagRecord
    photos: int


@dataclass(frozen=True, slots=True)
class NewConcept:
    """A concept scored against stored photos.

    labels: the embeddings of this one concept, made by the model `model_id`;
    photo_ids: (n,) int64, every photo scored; probabilities: (n,) float32, 0..1.
    """

    concept: Concept
    labels: LabelEmbeddings
    model_id: str
    photo_ids: Ids
    probabilities: Floats


@dataclass(frozen=True, slots=True)
class ConceptRecord:
    """A stored concept: how many photos show it now, and how many were scored at all."""

    id: int
    concept: Concept
    matched: int
    scored: int


@dataclass(frozen=True, slots=True)
class ConceptEmbeddings:
    """The label embeddings of every concept of one model; ids: (labels,) int64, in their order."""

    ids: Ids
    labels: LabelEmbeddings


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model that has been used in this library."""

    model_id: str
    name: str
    embedding_size: int
    token_count: int | None
    token_width: int | None
    active: bool
    analyses: int


@dataclass(frozen=True, slots=True)
class PhotoFilter:
    """Which photos to select; an empty filter means all that have a file present or offline.

    all_of: every inner tuple must be met, by any of its tag ids; none_of: no tag of these;
    after, before: time taken (else the file's own time), from `after` on and earlier than
    `before`, in the camera's clock without zone; folders: inside any of them;
    min_probability: replaces the tags' own thresholds.
    """

    all_of: tuple[tuple[int, ...], ...] = ()
    none_of: tuple[int, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    folders: tuple[Path, ...] = ()
    min_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Figures about the whole library.

    awaiting: photos that the model which indexing uses has yet to analyse; until it has, another
    one may be active.
    """

    photos: int
    files: Mapping[FileState, int]
    failures: int
    models: tuple[ModelRecord, ...]
    concepts: int
    tags: int
    awaiting: int
    database_bytes: int
    token_bytes: int
