"""The alignment decoder: label embeddings ask the image tokens whether they are there."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram_tagger.attention import attend
from ram_tagger.config import RamConfig
from ram_tagger.packed import added, gelu_after

PAIRS = 4096
"""Pairs of a picture and a label decoded at a time on a processor: bounds memory, and keeps the
feed-forward activations within its cache."""
CUDA_PAIRS = 1 << 16
ASKED_TOGETHER = 16
"""Pictures whose tokens a few labels ask at a time on a processor."""
FEW_LABELS = 32
"""Labels up to which asking the tokens themselves is quicker than projecting them first."""


def are_few(labels: int) -> bool:
    """Whether so many labels ask the tokens themselves."""
    return labels <= FEW_LABELS


class CrossAttention(nn.Module):
    """Multi-head attention from labels to image tokens, without self-attention among labels.

    The tokens are either projected to keys and values, or, for a few labels, asked as they are:
    q · (Wk t + bk) is (Wk' q) · t and a constant that the softmax cancels, and the mean of
    Wv t + bv is Wv times the mean of t, and bv. That is a fifteenth of the work for one label.
    """

    unpacked = ("key", "value")

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
        """What labels see, to go through `output`: (pictures, labels, hidden), as `labels` is."""
        queries = self._split(self.query(labels))  # B heads C D
        return attend(queries, keys, values, dropout=self.dropout if self.training else 0.0)

    def ask(self, labels: Tensor, tokens: Tensor, scales: Tensor | None) -> Tensor:
        """What `forward` gives, from the image tokens themselves.

        labels: (pictures, labels, hidden); tokens: (pictures, tokens, width), of the dtype of
        `labels` or int8; scales: (pictures, tokens), what to multiply each token by.
        """
        pictures, count, hidden = labels.shape
        key = self.key.weight.unflatten(0, (self.heads, -1))  # heads D W
        value = self.value.weight.unflatten(0, (self.heads, -1))  # heads D W
        queries = self.query(labels).view(pictures * count, self.heads, -1).transpose(0, 1)
        asked = torch.bmm(queries, key).transpose(0, 1) * key.shape[1] ** -0.5  # BC heads W
        asked = asked.reshape(pictures, count * self.heads, -1)
        if scales is None:
            scales = tokens.new_ones(tokens.shape[:2], dtype=torch.float32)
        means = _weighted_means(asked, tokens, scales.unsqueeze(1))
        means = means.view(pictures * count, self.heads, -1).transpose(0, 1)  # heads BC W
        seen = torch.bmm(means, value.transpose(1, 2)).transpose(0, 1)
        return seen.reshape(pictures, count, hidden) + self.value.bias  # B C D

    def _split(self, x: Tensor) -> Tensor:
        return cast(Tensor, x.unflatten(-1, (self.heads, -1)).transpose(1, 2))  # B heads N D


def _weighted_means(asked: Tensor, tokens: Tensor, scales: Tensor) -> Tensor:
    """Each picture's tokens, averaged by softmax(asked · token).

    asked: (pictures, queries, width); tokens: (pictures, tokens, width), perhaps int8; scales:
    (pictures, 1, tokens) float32, what to multiply each token by. Returns the shape of `asked`.
    A few pictures at a time: what is made of their tokens is used twice while it is in the cache.
    """
    means = torch.empty_like(asked)
    together = len(tokens) if tokens.is_cuda else ASKED_TOGETHER
    room = asked.new_empty(min(together, len(tokens)), *tokens.shape[1:])
    for start in range(0, len(tokens), together):
        part = slice(start, start + together)
        taken = room[: len(tokens[part])].copy_(tokens[part])  # B N W
        scores = torch.bmm(asked[part], taken.transpose(1, 2)) * scales[part]  # B Q N
        weights = (scores.softmax(dim=-1) * scales[part]).to(taken.dtype)
        torch.bmm(weights, taken, out=means[part])
    return means


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

    def forward(self, labels: Tensor, seen: Tensor) -> Tensor:
        """labels: (pictures, labels, hidden); seen: what the attention gave for them."""
        seen = self.attention_norm(added(self.attention.output, seen, labels, self.dropout))
        thought = gelu_after(self.expand, seen)
        return cast(Tensor, self.output_norm(added(self.contract, thought, seen, self.dropout)))


class AlignmentDecoder(nn.Module):
    """One logit for every label and picture (RAM++, section 3.2, arXiv 2310.15200).

    Labels do not see each other: a label's logit does not depend on which others are asked.
    """

    unpacked = ("fc",)

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.wordvec_proj = nn.Linear(config.embedding_width, config.hidden_width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.fc = nn.Linear(config.hidden_width, 1)

    def forward(self, labels: Tensor, tokens: Tensor, scales: Tensor | None = None) -> Tensor:
        """Alignment logits.

        labels: (pictures, labels, width), each picture's own label embeddings, or (1, labels,
        width) for the same ones everywhere; tokens: (pictures, tokens, width), of the same dtype or
        int8; scales: (pictures, tokens) float32, what to multiply each token by.
        Returns (pictures, labels), float32 once `settle` was called.
        """
        if are_few(labels.shape[1]) and not torch.is_grad_enabled():
            return self._decode_few(labels, tokens, scales)
        if scales is not None:
            tokens = (tokens * scales.unsqueeze(-1)).to(labels.dtype)
        projected = [layer.attention.project(tokens) for layer in self._layers()]
        pairs = CUDA_PAIRS if tokens.is_cuda else PAIRS
        chunks = labels.split(max(1, pairs // max(1, len(tokens))), dim=1)
        return torch.cat([self._decode(chunk, projected, len(tokens)) for chunk in chunks], dim=1)

    def _decode(
        self, labels: Tensor, projected: list[tuple[Tensor, Tensor]], pictures: int
    ) -> Tensor:
        hidden = F.relu(self.wordvec_proj(labels)).expand(pictures, -1, -1)  # B C D
        for layer, (keys, values) in zip(self._layers(), projected, strict=True):
            hidden = layer(hidden, layer.attention(hidden, keys, values))
        return self._logits(hidden)

    def _decode_few(self, labels: Tensor, tokens: Tensor, scales: Tensor | None) -> Tensor:
        hidden = F.relu(self.wordvec_proj(labels)).expand(len(tokens), -1, -1)  # B C D
        for layer in self._layers():
            hidden = layer(hidden, layer.attention.ask(hidden, tokens, scales))
        return self._logits(hidden)

    def _logits(self, hidden: Tensor) -> Tensor:
        return cast(Tensor, self.fc(hidden.to(self.fc.weight.dtype)).squeeze(-1))  # B C

    def settle(self) -> None:
        """Prepare for inference, whatever the precision.

        Logits stay in 32 bit: one of 16 would be off by as much as all that was rounded before it.
        """
        self.fc.float()

    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))
