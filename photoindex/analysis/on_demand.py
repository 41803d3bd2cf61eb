"""A tagger whose networks are opened by the first picture: most runs find nothing new."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from photoindex.tagger import (
    Analysis,
    Concept,
    Floats,
    LabelEmbeddings,
    ModelCard,
    StoredPhotos,
    Tagger,
    TagName,
)

if TYPE_CHECKING:
    from PIL.Image import Image


class OnDemandTagger:
    """A Tagger that is known by its card until it has to look at something.

    Every method may raise ModelError then.
    """

    def __init__(self, card: ModelCard, load: Callable[[], Tagger]) -> None:
        self._card = card
        self._load = load
        self._loaded: Tagger | None = None
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether its networks are in memory."""
        return self._loaded is not None

    @property
    def model_id(self) -> str:
        return self._card.model_id

    @property
    def embedding_size(self) -> int:
        return self._card.embedding_size

    @property
    def vocabulary(self) -> Sequence[TagName]:
        return self._card.vocabulary

    @property
    def floor(self) -> float:
        return self._tagger().floor

    @property
    def picture_size(self) -> int:
        return self._tagger().picture_size

    @property
    def batch_size(self) -> int:
        return self._tagger().batch_size

    def analyse(self, pictures: Sequence[Image]) -> list[Analysis]:
        """See Tagger."""
        return self._tagger().analyse(pictures)

    def embed_pictures(self, pictures: Sequence[Image]) -> Floats:
        """See Tagger."""
        return self._tagger().embed_pictures(pictures)

    def embed_labels(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """See Scorer."""
        return self._tagger().embed_labels(concepts)

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """See Scorer."""
        return self._tagger().embed_text(texts)

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """See Scorer."""
        return self._tagger().score(labels, photos)

    def _tagger(self) -> Tagger:
        with self._lock:  # reader threads ask for the picture size while another one loads
            if self._loaded is None:
                self._loaded = self._load()
        return self._loaded
