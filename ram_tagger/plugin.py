"""RAM++ as a photoindex tagger: the one place where the two packages meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from photoindex.errors import ModelError
from photoindex.tagger import (
    Analysis,
    Concept,
    Floats,
    ImageTokens,
    LabelEmbeddings,
    LoadOptions,
    ModelSource,
    StoredPhoto,
    Tagger,
    TagName,
)
from ram_tagger.errors import RamTaggerError
from ram_tagger.sources import RAM_PLUS, SKETCH

if TYPE_CHECKING:
    from PIL.Image import Image

    from ram_tagger.predict import Prediction, RamTagger

FLOOR = 0.1
"""Probability from which a tag is stored; thresholds can be lowered to it without re-tagging."""


class RamPlusTagger:
    """A RamTagger behind photoindex's protocol."""

    floor = FLOOR

    def __init__(self, tagger: RamTagger) -> None:
        self._tagger = tagger
        self.model_id = tagger.config.model_id
        self.embedding_size = tagger.config.ram.embedding_width
        self.picture_size = max(tagger.config.ram.image_size, tagger.config.clip.image_size)
        self.batch_size = tagger.batch_size
        labels = tagger.labels
        chinese = (name or None for name in labels.names_zh)
        self.vocabulary = tuple(map(TagName, labels.names, chinese, labels.thresholds))

    def analyse(self, pictures: Sequence[Image]) -> list[Analysis]:
        """Tags above the floor, CLIP embedding and quantised image tokens of each picture."""
        with _translated():
            return [self._analysis(p) for p in self._tagger.predict(pictures)]

    def embed_pictures(self, pictures: Sequence[Image]) -> Floats:
        """(pictures, width), unit length."""
        with _translated():
            return self._tagger.embed_pictures(pictures)

    def embed_labels(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """Each concept's description embeddings."""
        with _translated():
            return self._tagger.embed_concepts(concepts)

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """(texts, width), unit length."""
        with _translated():
            return self._tagger.embed_text(texts)

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhoto]) -> Floats:
        """(photos, labels) probabilities by the alignment decoder."""
        with _translated():
            return self._tagger.score(labels, photos)

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

    def load(self, folder: Path, options: LoadOptions) -> Tagger:
        """Raises ModelError."""
        from ram_tagger.predict import RamTagger

        with _translated():
            return RamPlusTagger(RamTagger.load(folder, options.device, options.precision))

    def recognises(self, source: Path) -> bool:
        """A `.pth`, or a folder with one."""
        return source.suffix.lower() == ".pth" or any(source.glob("*.pth"))

    def build(self, source: Path, folder: Path, name: str) -> None:
        """A model folder from a `.pth` with its tag lists and CLIP weights beside it."""
        from ram_tagger.convert import convert, weights_in

        with _translated():
            convert(weights_in(source), folder, name)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RamTaggerError as error:
        raise ModelError(str(error)) from error
    except RuntimeError as error:
        from torch import OutOfMemoryError  # where it was raised, torch is imported already

        if not isinstance(error, OutOfMemoryError):
            raise
        raise ModelError(
            "the GPU has too little free memory: set PHOTOINDEX_BATCH_SIZE to a smaller number, "
            "or use --device cpu"
        ) from error


plugin = RamPlusPlugin()
