"""The built-in tagger `clip-zero-shot`: any installed model's CLIP with a vocabulary of one's own.

A vocabulary has a tag a line, optionally followed by a tab and its Chinese name. A line
`# clip: NAME` says whose CLIP is borrowed; other lines that begin with `#` are comments. A model
folder is the vocabulary and `zero-shot.json` with that name. No image tokens are stored;
everything is scored by the embedding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from photoindex.config import DEFAULT_MODEL
from photoindex.errors import ModelError
from photoindex.tagger import (
    Analysis,
    Concept,
    Floats,
    LabelEmbeddings,
    LoadOptions,
    ModelCard,
    ModelSource,
    Scorer,
    StoredPhoto,
    StoredPhotos,
    Tag,
    Tagger,
    TagName,
)

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

CONFIG, VOCABULARY = "zero-shot.json", "vocabulary.txt"
THRESHOLD = 0.5
NULL_PROMPTS = ("a photo", "a picture of something", "an image of various things")
"""What a label has to beat: texts that fit any picture."""
SHARPNESS = 100.0
"""CLIP's own logit scale: the probability is the sigmoid of this times the lead over the nulls."""


class ZeroShotScorer:
    """Probabilities by which labels fit a picture better than texts that fit any picture."""

    def __init__(self, clip: Scorer, vocabulary: Sequence[TagName]) -> None:
        self._clip = clip
        self.model_id = _model_id(clip.model_id, vocabulary)

    @cached_property
    def _null(self) -> Floats:
        return self._clip.embed_text(NULL_PROMPTS)

    def embed_labels(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """Each concept's description embeddings."""
        return self._clip.embed_labels(concepts)

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """(texts, width), unit length."""
        return self._clip.embed_text(texts)

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """(photos, labels): how far a label's best description leads over the null prompts."""
        blocks = [self._score(labels, block.embeddings) for block in photos if len(block)]
        if not blocks:
            return np.empty((0, len(labels)), dtype=np.float32)
        return np.concatenate(blocks)

    def _score(self, labels: LabelEmbeddings, embeddings: Floats) -> Floats:
        null = (embeddings @ self._null.T).max(axis=1, keepdims=True)
        cosines = embeddings @ labels.embeddings.T  # photos K
        starts = np.cumsum(labels.counts) - labels.counts
        best = np.maximum.reduceat(cosines, starts, axis=1)  # photos C
        lead = SHARPNESS * (best - null)
        # The sigmoid by another name: exp of a large number would overflow.
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * lead), dtype=np.float32)


class ZeroShotTagger(ZeroShotScorer):
    """Tags of a vocabulary, each with the probability of its name."""

    floor = 0.1

    def __init__(self, clip: Tagger, vocabulary: Sequence[TagName]) -> None:
        super().__init__(clip, vocabulary)
        self._eye = clip
        self.vocabulary = tuple(vocabulary)
        self.embedding_size = clip.embedding_size
        self.picture_size = clip.picture_size
        self.batch_size = clip.batch_size

    @cached_property
    def _labels(self) -> LabelEmbeddings:
        """Of the whole vocabulary, which takes a while: only what analyses pictures asks."""
        return self.embed_labels([Concept(tag.name) for tag in self.vocabulary])

    def analyse(self, pictures: Sequence[Image]) -> list[Analysis]:
        """Tags above the floor, and the embedding; no tokens."""
        embeddings = self.embed_pictures(pictures)
        probabilities = self.score(self._labels, [StoredPhotos(embeddings, None)])
        return [
            Analysis(self._tags(row), StoredPhoto(embedding, None))
            for row, embedding in zip(probabilities, embeddings, strict=True)
        ]

    def embed_pictures(self, pictures: Sequence[Image]) -> Floats:
        """(pictures, width), unit length."""
        return self._eye.embed_pictures(pictures)

    def _tags(self, probabilities: Floats) -> tuple[Tag, ...]:
        order = np.argsort(-probabilities, kind="stable")
        return tuple(
            Tag(
                self.vocabulary[row].name,
                self.vocabulary[row].name_zh,
                float(probabilities[row]),
                self.vocabulary[row].threshold,
            )
            for row in order
            if probabilities[row] >= self.floor
        )


class ZeroShotPlugin:
    """Loads and makes zero-shot model folders."""

    name = "clip-zero-shot"

    def sources(self) -> Sequence[ModelSource]:
        """None: a vocabulary is always one's own."""
        return ()

    def accepts(self, folder: Path) -> bool:
        """Whether a folder holds a vocabulary and the name of a CLIP."""
        return (folder / CONFIG).is_file() and (folder / VOCABULARY).is_file()

    def describe(self, folder: Path, options: LoadOptions) -> ModelCard:
        """The borrowed CLIP is asked through `options.describe_model`. Raises ModelError."""
        clip = _borrow(folder, options.describe_model)
        vocabulary = read_vocabulary(folder / VOCABULARY)
        return ModelCard(_model_id(clip.model_id, vocabulary), clip.embedding_size, vocabulary)

    def load_scorer(self, folder: Path, options: LoadOptions) -> Scorer:
        """The borrowed CLIP is opened through `options.open_scorer`. Raises ModelError."""
        clip = _borrow(folder, options.open_scorer)
        return ZeroShotScorer(clip, read_vocabulary(folder / VOCABULARY))

    def load(self, folder: Path, options: LoadOptions) -> Tagger:
        """The borrowed CLIP is opened through `options.open_model`. Raises ModelError."""
        clip = _borrow(folder, options.open_model)
        return ZeroShotTagger(clip, read_vocabulary(folder / VOCABULARY))

    def recognises(self, source: Path) -> bool:
        """A text file, or a folder that is such a model already."""
        return source.suffix.lower() == ".txt" or self.accepts(source)

    def build(self, source: Path, folder: Path, name: str) -> None:
        """A model folder from a vocabulary file, or a folder that is one already."""
        listed = source / VOCABULARY if source.is_dir() else source
        read_vocabulary(listed)
        folder.mkdir(parents=True, exist_ok=True)
        config = json.dumps({"clip": _borrowed(listed)})
        (folder / CONFIG).write_text(config + "\n", encoding="utf-8")
        (folder / VOCABULARY).write_bytes(listed.read_bytes())


def read_vocabulary(path: Path) -> tuple[TagName, ...]:
    """Tags from a file of one a line, `name` or `name<TAB>Chinese name`. Raises ModelError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ModelError(f"the vocabulary {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"the vocabulary {path} is not UTF-8: save it as UTF-8 text") from error
    tags: dict[str, TagName] = {}
    for line in lines:
        name, _, chinese = (part.strip() for part in line.partition("\t"))
        if name and not name.startswith("#"):
            tags.setdefault(name.casefold(), TagName(name, chinese or None, THRESHOLD))
    if not tags:
        raise ModelError(f"the vocabulary {path} is empty: write one tag a line")
    return tuple(tags.values())


def _model_id(clip: str, vocabulary: Sequence[TagName]) -> str:
    words = "\n".join(f"{tag.name}\t{tag.name_zh}" for tag in vocabulary)
    digest = hashlib.blake2b(words.encode(), digest_size=6).hexdigest()
    return f"clip-zero-shot-{clip}-{digest}"


def _borrow(folder: Path, opened: Callable[[str], T] | None) -> T:
    """What `opened` makes of the model whose CLIP a folder borrows. Raises ModelError."""
    try:
        name = str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["clip"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f'{folder / CONFIG} is damaged: expected {{"clip": "model name"}}'
        ) from error
    if opened is None:
        raise ModelError(f"{folder} borrows the CLIP of {name}, which cannot be opened here")
    if ".." in Path(name).parts:
        raise ModelError(f"{folder / CONFIG}: {name!r} leads out of the folder: name a model")
    try:
        return opened(name)
    except RecursionError as error:
        raise ModelError(
            f"{folder} borrows the CLIP of {name}, which borrows it in turn: name a model that has"
            " one"
        ) from error


def _borrowed(vocabulary: Path) -> str:
    """The model that a vocabulary's `# clip:` line names, else the default one."""
    for line in vocabulary.read_text(encoding="utf-8-sig").splitlines():
        comment, _, name = line.partition(":")
        if comment.replace(" ", "").lower() == "#clip" and name.strip():
            return name.strip()
    return DEFAULT_MODEL


plugin = ZeroShotPlugin()
