"""RAM++ as a photoindex tagger: the one place where the two packages meet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from photoindex.errors import ModelError
from photoindex.tagger import (
    Analysis,
    Concept,
    Floats,
    ImageTokens,
    LabelEmbeddings,
    LoadOptions,
    ModelCard,
    ModelSource,
    Scorer,
    StoredPhoto,
    StoredPhotos,
    Tagger,
    TagName,
)
from ram_tagger.errors import RamTaggerError
from ram_tagger.model_folder import load_config, load_labels
from ram_tagger.sources import RAM_PLUS, SKETCH
from ram_tagger.vocabulary import LabelSet

if TYPE_CHECKING:
    from PIL.Image import Image

    from ram_tagger.predict import Prediction, RamTagger

FLOOR = 0.1
"""Probability from which a tag is stored; thresholds can be lowered to it without re-tagging."""


class Asked(Protocol):
    """What `RamTagger` and `QuickScorer` both answer."""

    def embed_concepts(self, concepts: Sequence[Concept]) -> LabelEmbeddings: ...

    def embed_text(self, texts: Sequence[str]) -> Floats: ...

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats: ...


class RamPlusScorer:
    """What answers for labels and texts, behind photoindex's protocol."""

    def __init__(self, asked: Asked, model_id: str) -> None:
        self._asked = asked
        self.model_id = model_id

    def embed_labels(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """Each concept's description embeddings."""
        with _translated():
            return self._asked.embed_concepts(concepts)

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """(texts, width), unit length."""
        with _translated():
            return self._asked.embed_text(texts)

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """(photos, labels) probabilities by the alignment decoder."""
        with _translated():
            return self._asked.score(labels, photos)


class RamPlusTagger(RamPlusScorer):
    """A RamTagger behind photoindex's protocol."""

    floor = FLOOR

    def __init__(self, tagger: RamTagger) -> None:
        super().__init__(tagger, tagger.config.model_id)
        self._tagger = tagger
        self.embedding_size = tagger.config.ram.embedding_width
        self.picture_size = max(tagger.config.ram.image_size, tagger.config.clip.image_size)
        self.batch_size = tagger.batch_size
        self.vocabulary = tag_names(tagger.labels)

    def analyse(self, pictures: Sequence[Image]) -> list[Analysis]:
        """Tags above the floor, CLIP embedding and quantised image tokens of each picture."""
        with _translated():
            return [self._analysis(p) for p in self._tagger.predict(pictures)]

    def embed_pictures(self, pictures: Sequence[Image]) -> Floats:
        """(pictures, width), unit length."""
        with _translated():
            return self._tagger.embed_pictures(pictures)

    def _analysis(self, prediction: Prediction) -> Analysis:
        shown = np.flatnonzero(prediction.probabilities >= FLOOR)
        return Analysis(
            self._tagger.describe_tags(prediction, shown),
            StoredPhoto(prediction.embedding, ImageTokens.quantise(prediction.tokens)),
        )


class RamPlusPlugin:
    """Finds, makes and loads RAM++ model folders; imports torch only when one is loaded or made."""

    name = "ram_tagger"

    def sources(self) -> Sequence[ModelSource]:
        """The bundled model and the published one."""
        return (SKETCH, RAM_PLUS)

    def accepts(self, folder: Path) -> bool:
        """Whether a folder was written by `ram-tagger convert` or by training."""
        return (folder / "config.json").is_file() and (folder / "labels.safetensors").is_file()

    def describe(self, folder: Path, options: LoadOptions) -> ModelCard:
        """What the folder's small files say of it. Raises ModelError."""
        with _translated():
            config, labels = load_config(folder), load_labels(folder)
            return ModelCard(config.model_id, config.ram.embedding_width, tag_names(labels))

    def load_scorer(self, folder: Path, options: LoadOptions) -> Scorer:
        """Without torch, where the folder's CLIP is one that can be computed so; else `load`.

        Raises ModelError.
        """
        from ram_tagger.quick.scorer import QuickScorer, can_score

        with _translated():
            if not can_score(folder):
                return self.load(folder, options)
            scorer = QuickScorer(folder, lambda: _open(folder, options))
            return RamPlusScorer(scorer, scorer.model_id)

    def load(self, folder: Path, options: LoadOptions) -> Tagger:
        """Raises ModelError."""
        with _translated():
            return RamPlusTagger(_open(folder, options))

    def recognises(self, source: Path) -> bool:
        """A `.pth`, or a folder with one."""
        return source.suffix.lower() == ".pth" or any(source.glob("*.pth"))

    def build(self, source: Path, folder: Path, name: str) -> None:
        """A model folder from a `.pth` with its tag lists and CLIP weights beside it."""
        from ram_tagger.convert import convert, weights_in

        with _translated():
            convert(weights_in(source), folder, name)


def _open(folder: Path, options: LoadOptions) -> RamTagger:
    from ram_tagger.predict import RamTagger

    return RamTagger.load(folder, options.device, options.precision)


def tag_names(labels: LabelSet) -> tuple[TagName, ...]:
    """A vocabulary as photoindex wants it."""
    chinese = (name or None for name in labels.names_zh)
    return tuple(map(TagName, labels.names, chinese, labels.thresholds))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RamTaggerError as error:
        raise ModelError(str(error)) from error
    except RuntimeError as error:
        torch = sys.modules.get("torch")  # what raises torch's errors is imported already
        if torch is None or not isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(
            "the GPU has too little free memory: set PHOTOINDEX_BATCH_SIZE to a smaller number, "
            "or use --device cpu"
        ) from error


plugin = RamPlusPlugin()
