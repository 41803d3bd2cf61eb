"""The merges of CLIP's byte-pair tokens, as a table that is looked into without being loaded.

`merges.safetensors` beside this file is made by `write_merges` from the list that OpenAI published
with CLIP (MIT licence, copyright 2021 OpenAI) and open_clip carries.
"""

from __future__ import annotations

import gzip
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ram_tagger.quick.tensors import MappedTensors

TABLE = Path(__file__).with_name("merges.safetensors")

BYTES = (*range(33, 127), *range(161, 173), *range(174, 256))
"""The bytes that are printed as they are: tokens 0 to 187. The other bytes follow in order."""
BYTE_TOKENS = {
    byte: token
    for token, byte in enumerate((*BYTES, *(b for b in range(256) if b not in set(BYTES))))
}
END_OF_WORD = 256
"""What is added to the token of a byte where it is the last of a word."""
FIRST_MERGED = 512
"""The token that the first merge makes; each later merge makes the next one."""
MERGES = 48_894
START, END = FIRST_MERGED + MERGES, FIRST_MERGED + MERGES + 1
"""The tokens before and after a text."""
_PAIR = 1 << 16


class Merges:
    """Which two neighbouring tokens become one; the earlier a merge, the smaller its token."""

    def __init__(self, path: Path = TABLE) -> None:
        """Raises CheckpointError."""
        tensors = MappedTensors(path)
        self._pairs = tensors.numbers("pairs").data
        self._merged = tensors.numbers("merged").data

    def of(self, first: int, second: int) -> int | None:
        """The token of a pair, None where the two stay apart."""
        pair = first * _PAIR + second
        place = bisect_left(self._pairs, pair)
        if place < len(self._pairs) and self._pairs[place] == pair:
            return int(self._merged[place])
        return None

    def split(self, word: bytes) -> Sequence[int]:
        """The tokens of a word of at least one byte."""
        tokens = [BYTE_TOKENS[byte] for byte in word]
        tokens[-1] += END_OF_WORD
        while len(tokens) > 1:
            found = [self.of(*pair) for pair in pairwise(tokens)]
            first = min((token for token in found if token is not None), default=None)
            if first is None:
                break
            tokens = _joined(tokens, found, first)
        return tokens


def _joined(tokens: list[int], found: list[int | None], wanted: int) -> list[int]:
    """The tokens with every pair that makes `wanted` in its place, from left to right."""
    joined, place = [], 0
    while place < len(tokens):
        merged = place < len(found) and found[place] == wanted
        joined.append(wanted if merged else tokens[place])
        place += 2 if merged else 1
    return joined


def write_merges(published: Path, path: Path = TABLE) -> None:
    """Make the table from the published list (gzip, a line of two tokens for each merge)."""
    from safetensors.numpy import save_file

    lines = gzip.decompress(published.read_bytes()).decode("utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines[1 : 1 + MERGES]]
    printed = _printed_bytes()
    tokens = {name: number for number, name in enumerate(printed)}
    tokens |= {f"{name}</w>": END_OF_WORD + number for number, name in enumerate(printed)}
    tokens |= {"".join(pair): FIRST_MERGED + rank for rank, pair in enumerate(merges)}
    pairs = np.array([tokens[a] * _PAIR + tokens[b] for a, b in merges], dtype=np.uint32)
    order = np.argsort(pairs)
    merged = (FIRST_MERGED + order).astype(np.uint16)
    save_file({"pairs": pairs[order], "merged": merged}, path)


def _printed_bytes() -> list[str]:
    """The characters that stand for bytes in the published list, in the order of their tokens."""
    return [*map(chr, BYTES), *map(chr, range(256, 512 - len(BYTES)))]
