"""Open set: labels made today from descriptions, scored like any tag of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from photoindex.tagger import Concept, LabelEmbeddings
from ram_tagger.clip import Clip
from ram_tagger.labels import LabelBank

TEMPLATES = (
    "a photo of {}",
    "a picture that shows {}",
    "{} can be seen here",
    "there is {} in the scene",
    "a close view of {}",
    "{}",
)
"""What stands in for the descriptions of a concept that has none."""


def describe(concept: Concept) -> tuple[str, ...]:
    """The concept's descriptions, or the prompt templates filled with its name."""
    return concept.descriptions or tuple(t.format(concept.name) for t in TEMPLATES)


def embed_concepts(clip: Clip, concepts: Sequence[Concept]) -> LabelEmbeddings:
    """The label embeddings of concepts: each description embedded and normalised by itself."""
    texts = [describe(concept) for concept in concepts]
    rows = clip.embed_text([text for of_one in texts for text in of_one])
    return LabelEmbeddings(
        tuple(concept.name for concept in concepts),
        rows.cpu().numpy().astype(np.float32),
        np.array([len(of_one) for of_one in texts], dtype=np.int64),
    )


def bank_of(labels: LabelEmbeddings) -> LabelBank:
    """Label embeddings as the network reads them; copied, since stored ones are read-only."""
    return LabelBank(torch.tensor(labels.embeddings), torch.tensor(labels.counts))
