"""Open set: labels made today from descriptions, scored like any tag of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from photoindex.tagger import Concept, LabelEmbeddings
from ram_tagger.clip import Clip
from ram_tagger.labels import LabelBank
from ram_tagger.templates import describe


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
