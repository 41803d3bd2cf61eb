"""The alignment decoder for few labels: the labels' side of every product, not the tokens'.

A key is the product of a matrix and a token, and a query asks for its product with the key. For
hundreds of labels it pays to make all keys first; for a few, to bring the query to the tokens'
side: query · (K token) = (Kᵀ query) · token. The values likewise: the mean of (V token) is V of the
mean token. Biases add the same to the keys of all tokens, which the softmax does not see, and the
same to the mean of all values. So no token is projected, and stored ones, int8 with a scale each,
need not be restored: the scale goes to the figures of attention, one a token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photoindex.tagger import Floats, ImageTokens, LabelEmbeddings
from ram_tagger.config import RamConfig
from ram_tagger.errors import CheckpointError, ShapeError
from ram_tagger.quick.arithmetic import gelu, sigmoid, softmax
from ram_tagger.quick.layers import Linear, Norm
from ram_tagger.quick.tensors import MappedTensors

EPSILON = 1e-12
"""Of the decoder's layer norms, as in BERT."""
ROWS_AT_ONCE = 384
"""Labels of all photos decoded together: few enough for the cache, enough for whole products."""
PHOTOS_AT_ONCE = 8
"""Photos whose tokens are turned into floats together."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. key: (heads, head width, width) and value: (heads, width, head width)."""

    query: Linear
    key: Floats
    value: Floats
    value_bias: Floats
    output: Linear
    attention_norm: Norm
    expand: Linear
    contract: Linear
    output_norm: Norm


class AlignmentDecoder:
    """Probabilities of labels from stored image tokens (RAM++, sections 3.2 and 3.3)."""

    def __init__(self, tensors: MappedTensors, config: RamConfig) -> None:
        """Raises CheckpointError."""
        if config.hidden_width % config.heads:
            raise CheckpointError(
                f"{tensors.path}: {config.hidden_width} does not divide by {config.heads} heads"
            )
        self._config = config
        self._glance = np.exp(tensors.floats("reweight_scale"))
        width, hidden = config.embedding_width, config.hidden_width
        self._word = Linear.of(tensors, "decoder.wordvec_proj", width, hidden)
        self._logit = Linear.of(tensors, "decoder.fc", hidden, 1)
        self._layers = [
            _layer(tensors, f"decoder.layers.{number}.", config) for number in range(config.layers)
        ]

    def score(self, labels: LabelEmbeddings, tokens: ImageTokens) -> Floats:
        """(photos, labels) probabilities. Raises ShapeError for labels of another width."""
        width = self._config.embedding_width
        if not labels.embeddings.shape[1] == tokens.values.shape[2] == width:
            raise ShapeError(
                f"pictures are {tokens.values.shape[2]} wide, descriptions "
                f"{labels.embeddings.shape[1]}, the model {width}: they come from different models"
            )
        if len(labels) and labels.counts.min() < 1:
            raise ShapeError("a label without a description cannot be scored: give it one")
        probabilities = np.empty((len(tokens.values), len(labels)), dtype=np.float32)
        photos = max(1, ROWS_AT_ONCE // max(1, len(labels)))
        for start in range(0, len(probabilities) if len(labels) else 0, photos):
            part = slice(start, start + photos)
            chosen = ImageTokens(tokens.values[part], tokens.scales[part])
            probabilities[part] = self._score(labels, chosen)
        return probabilities

    def _score(self, labels: LabelEmbeddings, tokens: ImageTokens) -> Floats:
        photos, chosen = len(tokens.values), len(labels)
        words = self._reweighted(labels, tokens).reshape(photos * chosen, -1)  # rows D
        hidden = self._word(words)
        np.maximum(hidden, np.float32(0), out=hidden)
        for layer in self._layers:
            seen = layer.output(self._attend(layer, hidden, tokens))
            seen += hidden
            seen = layer.attention_norm(seen)
            hidden = layer.contract(gelu(layer.expand(seen)))
            hidden += seen
            hidden = layer.output_norm(hidden)
        return sigmoid(self._logit(hidden)).reshape(photos, chosen)

    def _reweighted(self, labels: LabelEmbeddings, tokens: ImageTokens) -> Floats:
        """Each photo's own label embeddings (photos, labels, width)."""
        glance: Floats = tokens.values[:, 0].astype(np.float32) * tokens.scales[:, 0, None]
        length = np.sqrt(np.einsum("pd,pd->p", glance, glance))
        glance *= (self._glance / np.maximum(length, np.float32(1e-12)))[:, None]
        fits: Floats = glance @ labels.embeddings.T  # photos K
        words = np.empty((len(glance), len(labels), glance.shape[1]), dtype=np.float32)
        ends = np.cumsum(labels.counts)
        for label, (end, count) in enumerate(zip(ends, labels.counts, strict=True)):
            own = slice(end - count, end)
            np.matmul(softmax(fits[:, own]), labels.embeddings[own], out=words[:, label])
        return words

    def _attend(self, layer: Layer, hidden: Floats, tokens: ImageTokens) -> Floats:
        """rows hidden, before the output projection."""
        heads, rows = self._config.heads, len(hidden)
        photos, count, width = tokens.values.shape
        queries = layer.query(hidden).reshape(rows, heads, -1).swapaxes(0, 1)  # heads rows d
        asked = (queries @ layer.key).swapaxes(0, 1).reshape(photos, -1, width)  # P C*heads D
        asked *= np.float32((hidden.shape[1] // heads) ** -0.5)
        floats = np.empty((min(photos, PHOTOS_AT_ONCE), count, width), dtype=np.float32)
        for start in range(0, photos, PHOTOS_AT_ONCE):
            part = slice(start, start + PHOTOS_AT_ONCE)
            values = floats[: len(tokens.values[part])]
            values[:] = tokens.values[part]  # P N D
            scales = tokens.scales[part][:, None]  # P 1 N
            scores: Floats = asked[part] @ values.swapaxes(1, 2)  # P C*heads N
            scores *= scales
            softmax(scores)
            scores *= scales
            np.matmul(scores, values, out=asked[part])
        means: Floats = asked.reshape(rows, heads, width).swapaxes(0, 1)  # heads rows D
        seen = (means @ layer.value).swapaxes(0, 1).reshape(rows, -1)  # rows hidden
        seen += layer.value_bias
        return seen


def _layer(tensors: MappedTensors, name: str, config: RamConfig) -> Layer:
    width, hidden, inner = config.embedding_width, config.hidden_width, config.feed_forward_width
    key = tensors.floats(f"{name}attention.key.weight", hidden, width)
    value = Linear.of(tensors, f"{name}attention.value", width, hidden)
    return Layer(
        Linear.of(tensors, f"{name}attention.query", hidden, hidden),
        key.reshape(config.heads, -1, width),
        value.weight.reshape(config.heads, -1, width).swapaxes(1, 2),
        value.bias,
        Linear.of(tensors, f"{name}attention.output", hidden, hidden),
        Norm.of(tensors, f"{name}attention_norm", hidden, EPSILON),
        Linear.of(tensors, f"{name}expand", hidden, inner),
        Linear.of(tensors, f"{name}contract", inner, hidden),
        Norm.of(tensors, f"{name}output_norm", hidden, EPSILON),
    )
