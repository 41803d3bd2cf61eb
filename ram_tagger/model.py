"""RAM++, the network and nothing else: pixels and label embeddings in, logits out."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram_tagger.config import RamConfig
from ram_tagger.decoder import AlignmentDecoder
from ram_tagger.encoder import ImageEncoder
from ram_tagger.labels import LabelBank


class RamPlus(nn.Module):
    """Recognize Anything Plus (arXiv 2310.15200).

    Label embeddings are an input, never a weight: the same call serves the closed vocabulary, a
    concept added today, and training.
    """

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.decoder = AlignmentDecoder(config)
        self.reweight_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode(self, pixels: Tensor) -> Tensor:
        """(pictures, 3, image_size, image_size) to image tokens (pictures, 1 + patches, width)."""
        return cast(Tensor, self.encoder(pixels))  # B N D

    def reweight(self, tokens: Tensor, bank: LabelBank) -> Tensor:
        """Each picture's own label embeddings: descriptions weighted by what the picture shows.

        tokens: (pictures, 1 + patches, width), of which only the mean token is used.
        Returns (pictures, labels, width). RAM++, section 3.3.
        """
        glance = F.normalize(tokens[:, 0].float(), dim=-1) * self.reweight_scale.exp()  # B D
        return bank.weighted(glance.to(bank.embeddings.dtype))  # B C D

    def score(self, tokens: Tensor, bank: LabelBank, scales: Tensor | None = None) -> Tensor:
        """Logits of every label for every picture, from image tokens alone.

        tokens: (pictures, 1 + patches, width); as they are stored, int8 with scales (pictures, 1 +
        patches) float32 to multiply each token by. Returns (pictures, labels).
        """
        labels = self.reweight(tokens, bank)  # a glance has no length to scale
        labels = labels.to(tokens.dtype if scales is None else self.reweight_scale.dtype)
        return cast(Tensor, self.decoder(labels, tokens, scales))

    def align(self, tokens: Tensor, texts: Tensor) -> Tensor:
        """Logits of every text for every picture, used by the alignment loss.

        tokens: (pictures, 1 + patches, width); texts: (texts, width) CLIP text embeddings.
        Returns (pictures, texts).
        """
        return cast(Tensor, self.decoder(texts.unsqueeze(0).to(tokens.dtype), tokens))  # B C

    def forward(self, pixels: Tensor, bank: LabelBank) -> Tensor:
        """(pictures, 3, image_size, image_size) to logits (pictures, labels)."""
        return self.score(self.encode(pixels), bank)
