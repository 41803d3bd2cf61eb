"""The half of a model that a search asks: texts to embeddings, stored photos to probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from photoindex.tagger import Concept, Floats, ImageTokens, LabelEmbeddings, StoredPhotos
from ram_tagger.errors import RamTaggerError
from ram_tagger.model_folder import CLIP, NETWORK, load_config
from ram_tagger.quick.alignment import AlignmentDecoder
from ram_tagger.quick.tensors import MappedTensors
from ram_tagger.quick.text_tower import TextTower, understands
from ram_tagger.templates import describe

PATIENCE = 20_000
"""Pairs of a photo and a label (5 s on two cores) after which the network is worth loading.

It takes about as long to load, and then half the time or less for a pair.
"""


class Network(Protocol):
    """What takes over where many pairs are scored."""

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """(photos, labels) probabilities."""
        ...


class QuickScorer:
    """A model folder opened in milliseconds: weights are mapped, and no network is built.

    Figures are float32, within 1e-4 of those of `RamTagger` in the same precision.
    """

    def __init__(self, folder: Path, load: Callable[[], Network]) -> None:
        """load: opens the same folder's network, for when it is worth it. Raises CheckpointError.

        Only for folders that `can_score`.
        """
        config = load_config(folder)
        self.model_id = config.model_id
        self._text = TextTower(MappedTensors(folder / CLIP), config.clip)
        self._decoder = AlignmentDecoder(MappedTensors(folder / NETWORK), config.ram)
        self._load = load
        self._network: Network | None = None

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """(texts, width) CLIP text embeddings, unit length."""
        return self._text.embed(texts)

    def embed_concepts(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """The label embeddings of concepts: each description embedded and normalised by itself."""
        texts = [describe(concept) for concept in concepts]
        return LabelEmbeddings(
            tuple(concept.name for concept in concepts),
            self.embed_text([text for of_one in texts for text in of_one]),
            np.array([len(of_one) for of_one in texts], dtype=np.int64),
        )

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """(photos, labels) probabilities from stored tokens, block by block.

        Blocks beyond the first `PATIENCE` pairs, and all later calls', go to the network.
        """
        parts, pairs = [np.empty((0, len(labels)), np.float32)], 0
        blocks = iter(photos)
        for block in blocks:
            pairs += len(block) * len(labels)
            if self._network is None and pairs > PATIENCE:
                self._network = self._load()
            if self._network is not None:
                parts.append(self._network.score(labels, chain([block], blocks)))
                break
            parts.append(self._decoder.score(labels, _tokens_of(block)))
        return np.concatenate(parts)


def can_score(folder: Path) -> bool:
    """Whether `QuickScorer` computes what the networks of a folder do. Raises CheckpointError."""
    return understands(load_config(folder).clip)


def _tokens_of(photos: StoredPhotos) -> ImageTokens:
    if photos.tokens is None:
        raise RamTaggerError("a photo without image tokens cannot be scored: analyse it again")
    return photos.tokens
