"""The alignment decoder: label embeddings ask the image tokens whether they are there."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram_tagger.config import RamConfig

LABEL_CHUNK = 1024
"""Labels decoded at a time: keeps the feed-forward activations within the processor's cache."""


class CrossAttention(nn.Module):
    """Multi-head attention from labels to image tokens, without self-attention among labels."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.hidden_width, config.hidden_width)
        self.key = nn.Linear(config.embedding_width, config.hidden_width)
        self.value = nn.Linear(config.embedding_width, config.hidden_width)
        self.output = nn.Linear(config.hidden_width, config.hidden_width)
        self.dropout = config.dropout

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of image tokens, each (pictures, heads, tokens, head width)."""
        return self._split(self.key(tokens)), self._split(self.value(tokens))

    def forward(self, labels: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """labels: (pictures, labels, hidden). Returns the same shape."""
        queries = self._split(self.query(labels))  # B heads C D
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)
        return cast(Tensor, self.output(seen.transpose(1, 2).flatten(2)))  # B C D

    def _split(self, x: Tensor) -> Tensor:
        return cast(Tensor, x.unflatten(-1, (self.heads, -1)).transpose(1, 2))  # B heads N D


class DecoderLayer(nn.Module):
    """One post-LayerNorm block: cross-attention, then a GELU feed-forward."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        width = config.hidden_width
        self.attention = CrossAttention(config)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.expand = nn.Linear(width, config.feed_forward_width)
        self.contract = nn.Linear(config.feed_forward_width, width)
        self.output_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, labels: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """labels: (pictures, labels, hidden); keys, values: what `attention.project` gave."""
        seen = self.attention_norm(labels + self.dropout(self.attention(labels, keys, values)))
        thought = self.contract(F.gelu(self.expand(seen)))
        return cast(Tensor, self.output_norm(seen + self.dropout(thought)))  # B C D


class AlignmentDecoder(nn.Module):
    """One logit for every label and picture (RAM++, section 3.2, arXiv 2310.15200).

    Labels do not see each other: a label's logit does not depend on which others are asked.
    """

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.wordvec_proj = nn.Linear(config.embedding_width, config.hidden_width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.fc = nn.Linear(config.hidden_width, 1)

    def forward(self, labels: Tensor, tokens: Tensor) -> Tensor:
        """Alignment logits.

        labels: (pictures, labels, width), each picture's own label embeddings, or (1, labels,
        width) for the same ones everywhere; tokens: (pictures, tokens, width).
        Returns (pictures, labels), the dtype of `tokens`.
        """
        projected = [layer.attention.project(tokens) for layer in self._layers()]
        chunks = labels.split(LABEL_CHUNK, dim=1)
        return torch.cat([self._decode(chunk, projected, len(tokens)) for chunk in chunks], dim=1)

    def _decode(
        self, labels: Tensor, projected: list[tuple[Tensor, Tensor]], pictures: int
    ) -> Tensor:
        hidden = F.relu(self.wordvec_proj(labels)).expand(pictures, -1, -1)  # B C D
        for layer, (keys, values) in zip(self._layers(), projected, strict=True):
            hidden = layer(hidden, keys, values)
        return cast(Tensor, self.fc(hidden).squeeze(-1))  # B C

    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))
