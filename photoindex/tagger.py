"""What a tagger is: the records it takes and gives, and the protocols a plugin implements.

A plugin package registers one `TaggerPlugin` object under the entry-point group
`photoindex.taggers`. The plugin object is light (no torch). It gives a `ModelCard` from a model's
files alone, a `Scorer` that is quick to open for searches, and the whole `Tagger`, which looks at
pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

ENTRY_POINT_GROUP = "photoindex.taggers"

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
AnyIds = Ids | Iterable[int]


@dataclass(frozen=True, slots=True)
class TagName:
    """One entry of a model's vocabulary."""

    name: str
    name_zh: str | None
    threshold: float  # 0..1, against the probability


@dataclass(frozen=True, slots=True)
class Tag:
    """A vocabulary entry seen in one picture."""

    name: str
    name_zh: str | None
    probability: float  # 0..1, after the sigmoid
    threshold: float  # 0..1


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """Image tokens as they are stored, of one picture or of many: int8 with one scale a token.

    values: (…, tokens, width) int8; scales: (…, tokens) float32; a token is values * scale. Token
    0 of a picture is the mean token of RAM++.
    """

    values: NDArray[np.int8]
    scales: Floats

    @classmethod
    def quantise(cls, tokens: Floats) -> ImageTokens:
        """Round (…, tokens, width) float32 to int8, each token by its own largest magnitude."""
        peak = np.abs(tokens).max(axis=-1)
        steps = (peak / 127.0).astype(np.float32)
        scales = np.where(steps > 0, steps, np.float32(1.0))
        values = np.rint(tokens / scales[..., None]).clip(-127, 127).astype(np.int8)
        return cls(values, scales)

    def restore(self) -> Floats:
        """(…, tokens, width) float32; each number within half a scale of what was quantised."""
        return self.values.astype(np.float32) * self.scales[..., None]


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """What is kept of an analysed picture, enough to score any label later.

    embedding: (embedding_size,) float32, unit length; tokens: None for taggers that have none.
    """

    embedding: Floats
    tokens: ImageTokens | None


@dataclass(frozen=True, slots=True)
class StoredPhotos:
    """What is kept of several photos, in one array each: how they are read and scored.

    embeddings: (photos, embedding_size) float32, unit length; tokens: values (photos, tokens,
    width), scales (photos, tokens); None for taggers that have none.
    """

    embeddings: Floats
    tokens: ImageTokens | None

    @classmethod
    def of(cls, photos: Sequence[StoredPhoto]) -> StoredPhotos:
        """Photos of one model, at least one. They have tokens only where all of them have."""
        tokens = [photo.tokens for photo in photos if photo.tokens is not None]
        joined = None
        if len(tokens) == len(photos):
            joined = ImageTokens(
                np.stack([one.values for one in tokens]), np.stack([one.scales for one in tokens])
            )
        return cls(np.stack([photo.embedding for photo in photos]), joined)

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a tagger says of one picture: every tag above its floor, and what is kept for later."""

    tags: tuple[Tag, ...]
    stored: StoredPhoto


@dataclass(frozen=True, slots=True)
class Concept:
    """An open-set label given by descriptions; with none, the tagger uses its prompt templates."""

    name: str
    descriptions: tuple[str, ...] = ()
    threshold: float = 0.5
    name_zh: str | None = None


@dataclass(frozen=True, slots=True)
class LabelEmbeddings:
    """Description embeddings of several labels, any number of descriptions for each.

    embeddings: (descriptions of all labels, width) float32, unit length, label after label;
    counts: (labels,) int64, how many rows each label has, at least one.
    """

    names: tuple[str, ...]
    embeddings: Floats
    counts: NDArray[np.int64]

    @classmethod
    def join(cls, parts: Sequence[LabelEmbeddings]) -> LabelEmbeddings:
        """The labels of all parts, in order."""
        return cls(
            tuple(name for part in parts for name in part.names),
            np.concatenate([part.embeddings for part in parts]),
            np.concatenate([part.counts for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model folder says of itself, read without loading a network.

    `model_id` changes whenever stored analyses would differ.
    """

    model_id: str
    embedding_size: int
    vocabulary: tuple[TagName, ...]


class Scorer(Protocol):
    """The half of a model that never looks at a picture: texts, labels, and what is stored."""

    @property
    def model_id(self) -> str: ...

    def embed_labels(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """The embeddings of each concept's descriptions, or of prompt templates if it has none."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """(texts, embedding_size), unit length, comparable with picture embeddings."""
        ...

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """(photos, labels) probabilities from what is stored, consumed block by block."""
        ...


@runtime_checkable
class Tagger(Scorer, Protocol):
    """A loaded model.

    `floor` is the probability under which a tag is not reported by `analyse`. `picture_size` is
    the side in pixels of what the networks see: a picture may be handed in at twice that, however
    large its file. `batch_size` is the number of pictures that `analyse` is fastest with on the
    device that the model runs on.
    """

    @property
    def embedding_size(self) -> int: ...

    @property
    def vocabulary(self) -> Sequence[TagName]: ...

    @property
    def floor(self) -> float: ...

    @property
    def picture_size(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    def analyse(self, pictures: Sequence[Image]) -> list[Analysis]:
        """Tags, embedding and tokens of upright RGB pictures of any size."""
        ...

    def embed_pictures(self, pictures: Sequence[Image]) -> Floats:
        """(pictures, embedding_size), unit length: what `analyse` puts into `embedding`."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file that a model is made from, and where it can be had."""

    name: str
    url: str
    sha256: str
    size: int | None = None  # bytes, None where it was never published


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that a plugin knows by name and can make from published files.

    `bundled` names a ready model folder shipped inside the plugin's package; then `files` is empty.
    """

    name: str
    summary: str
    files: tuple[ModelFile, ...] = ()
    bundled: Path | None = None


Progress = Callable[[str, int, int | None], None]
"""Called with (what is going on, done so far, total or None)."""


def no_progress(what: str, done: int, total: int | None) -> None:
    """The progress of a caller that wants none."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is to be run."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1 …
    precision: str = "auto"  # auto, fp32, bf16
    # For a model that builds on another, by name:
    describe_model: Callable[[str], ModelCard] | None = None
    open_scorer: Callable[[str], Scorer] | None = None
    open_model: Callable[[str], Tagger] | None = None


class TaggerPlugin(Protocol):
    """What an entry point of `photoindex.taggers` gives: light until it loads a network."""

    @property
    def name(self) -> str: ...

    def sources(self) -> Sequence[ModelSource]:
        """The models that can be named without a folder."""
        ...

    def accepts(self, folder: Path) -> bool:
        """Whether a folder holds a model of this plugin (looks at its config only)."""
        ...

    def describe(self, folder: Path, options: LoadOptions) -> ModelCard:
        """What the model in a folder is, at the cost of reading a few small files.

        Raises ModelError.
        """
        ...

    def load_scorer(self, folder: Path, options: LoadOptions) -> Scorer:
        """What a single search needs of the model in a folder, as quickly as it can be had.

        Raises ModelError.
        """
        ...

    def load(self, folder: Path, options: LoadOptions) -> Tagger:
        """The model in a folder, ready to run. Raises ModelError."""
        ...

    def recognises(self, source: Path) -> bool:
        """Whether a file or folder looks like what `build` takes, judged by names alone."""
        ...

    def build(self, source: Path, folder: Path, name: str) -> None:
        """Turn published files (a file, or a folder of a source's files) into a model folder.

        Raises ModelError where the files are missing or not of this plugin.
        """
        ...
