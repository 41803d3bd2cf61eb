"""CLIP's text tower: what open_clip computes, for the tokens of a text and none of its padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np

from photoindex.tagger import Floats
from ram_tagger.config import ClipConfig
from ram_tagger.errors import CheckpointError
from ram_tagger.quick.arithmetic import gelu, quick_gelu, softmax
from ram_tagger.quick.layers import Linear, Norm
from ram_tagger.quick.tensors import MappedTensors
from ram_tagger.quick.tokens import QuickTokenizer

EPSILON = 1e-5
"""Of every layer norm in CLIP."""
TOKENS_AT_ONCE = 2048
"""Tokens of all texts of a batch: bounds memory."""

Activation: TypeAlias = Callable[[Floats], Floats]

_KNOWN: dict[str, tuple[int, Activation]] = {
    "ViT-B-16": (8, gelu),
    "ViT-B-16-quickgelu": (8, quick_gelu),
}
"""Heads and activation of the text towers of open_clip's architectures."""
_SETTINGS = {"width", "heads", "layers"}
"""What a small text tower may set: any other setting changes what is computed."""


@dataclass(frozen=True, slots=True)
class Block:
    """One pre-norm block: causal self-attention, then a feed-forward."""

    before_attention: Norm
    attention: Linear  # queries, keys and values of a token, one after another
    attended: Linear
    before_thought: Norm
    expand: Linear
    contract: Linear


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts in the order of their lengths, token after token.

    rows: (tokens,) of the token embedding; lengths: how many tokens each text has; groups: for each
    length, the first token, how many texts have it, and the length.
    """

    rows: list[int]
    lengths: list[int]
    groups: list[tuple[int, int, int]]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Batch:
        """texts: sorted by length."""
        lengths = [len(text) for text in texts]
        groups, start = [], 0
        for length, same in groupby(lengths):
            count = len(list(same))
            groups.append((start, count, length))
            start += count * length
        return cls([row for text in texts for row in text], lengths, groups)


class TextTower:
    """Texts to unit embeddings, on mapped weights."""

    def __init__(self, tensors: MappedTensors, config: ClipConfig) -> None:
        """Raises CheckpointError; ask `understands` first."""
        prefix = "" if config.architecture is not None else "text."
        self._heads, self._activate = _shape_of(config)
        self._tokenizer = QuickTokenizer(config)
        rows, width = tensors.shape(f"{prefix}token_embedding.weight")
        self._rows = tensors.floats(f"{prefix}token_embedding.weight", rows, width)
        self._positions = tensors.floats(
            f"{prefix}positional_embedding", config.context_length, width
        )
        self._blocks = list(_blocks(tensors, f"{prefix}transformer.resblocks.", width))
        self._final = Norm.of(tensors, f"{prefix}ln_final", width, EPSILON)
        self._projection = tensors.floats(f"{prefix}text_projection", width, config.embedding_width)
        if width % self._heads:
            raise CheckpointError(f"{tensors.path}: {width} does not divide by {self._heads} heads")

    def embed(self, texts: Sequence[str]) -> Floats:
        """(texts, embedding width), unit length."""
        embeddings = np.empty((len(texts), self._projection.shape[1]), dtype=np.float32)
        tokens = [self._tokenizer(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda text: len(tokens[text]))
        for chosen in _batches(order, tokens):
            embeddings[chosen] = self._embed(Batch.of([tokens[text] for text in chosen]))
        length = np.sqrt(np.einsum("td,td->t", embeddings, embeddings))
        embeddings /= np.maximum(length, np.float32(1e-12))[:, None]
        return embeddings

    def _embed(self, batch: Batch) -> Floats:
        ends = np.cumsum(batch.lengths) - 1
        x = self._rows[batch.rows]  # tokens D, a copy
        for start, count, length in batch.groups:
            part = x[start : start + count * length].reshape(count, length, -1)
            part += self._positions[:length]
        *others, last = self._blocks
        for block in others:
            x += block.attended(self._attend(block, x, batch))
            x += self._think(block, x)
        x = x[ends] + last.attended(self._attend(last, x, batch)[ends])
        x += self._think(last, x)  # of the end token alone: no other feature is looked at again
        return np.asarray(self._final(x) @ self._projection)

    def _attend(self, block: Block, x: Floats, batch: Batch) -> Floats:
        """tokens D, before the output projection."""
        asked = block.attention(block.before_attention(x))  # tokens 3D
        width = x.shape[1]
        seen = np.empty_like(x)
        for start, count, length in batch.groups:
            part = slice(start, start + count * length)
            split = asked[part].reshape(count, length, 3, self._heads, -1)
            queries, keys, values = split.transpose(2, 0, 3, 1, 4)  # each B heads L d
            scores = queries @ keys.swapaxes(-1, -2)  # B heads L L
            scores *= np.float32((width // self._heads) ** -0.5)
            scores += _later(length)
            mixed = softmax(scores) @ values  # B heads L d
            seen[part] = mixed.swapaxes(1, 2).reshape(-1, width)
        return seen

    def _think(self, block: Block, x: Floats) -> Floats:
        return block.contract(self._activate(block.expand(block.before_thought(x))))


def understands(config: ClipConfig) -> bool:
    """Whether `TextTower` computes the text tower of a config."""
    if config.architecture is None:
        return set(config.text) <= _SETTINGS
    return config.architecture in _KNOWN


def _shape_of(config: ClipConfig) -> tuple[int, Activation]:
    if config.architecture is None:
        return int(config.text.get("heads", 8)), gelu
    return _KNOWN[config.architecture]


def _blocks(tensors: MappedTensors, prefix: str, width: int) -> Iterator[Block]:
    inside = (name.removeprefix(prefix) for name in tensors.names if name.startswith(prefix))
    for number in range(len({name.split(".")[0] for name in inside})):
        name = f"{prefix}{number}."
        inner = tensors.shape(f"{name}mlp.c_fc.weight")[0]
        yield Block(
            Norm.of(tensors, f"{name}ln_1", width, EPSILON),
            Linear(
                tensors.floats(f"{name}attn.in_proj_weight", 3 * width, width),
                tensors.floats(f"{name}attn.in_proj_bias", 3 * width),
            ),
            Linear.of(tensors, f"{name}attn.out_proj", width, width),
            Norm.of(tensors, f"{name}ln_2", width, EPSILON),
            Linear.of(tensors, f"{name}mlp.c_fc", width, inner),
            Linear.of(tensors, f"{name}mlp.c_proj", inner, width),
        )


def _batches(order: Sequence[int], tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    batch: list[int] = []
    held = 0
    for text in order:
        if batch and held + len(tokens[text]) > TOKENS_AT_ONCE:
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += len(tokens[text])
    if batch:
        yield batch


def _later(length: int) -> Floats:
    """(length, length): minus infinity where a token would look at a later one."""
    return np.triu(np.full((length, length), -np.inf, dtype=np.float32), 1)
