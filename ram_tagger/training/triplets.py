"""Triplets of picture, tags and text: what RAM++ is trained on, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

NOBODY = -1
"""The owner of a text that was written for no picture, and what pads lists of facts."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A picture that could not be read, and why; another took its place."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Triplets:
    """B pictures with their tags, and T texts, each written for one of the pictures or for none.

    `seen` and `texts` are what CLIP is to look at and read, or what it made of them earlier.
    Facts are numbers; a text holds for a picture if all its facts are facts of the picture.
    """

    pixels: Tensor  # B 3 H W, uint8
    seen: Tensor  # B 3 h w, uint8, or embeddings B D, float32, of CLIP's own length
    targets: Tensor  # B C, float32, 1 where a tag is true
    texts: Tensor  # token ids T L, int64, or embeddings T D, float32, unit length
    owners: Tensor  # T, int64: the picture that a text was written for, or NOBODY
    stated: Tensor  # T F, int64: the facts of each text, padded with NOBODY
    true: Tensor  # B G, int64: the facts of each picture, padded with NOBODY
    skipped: tuple[Skipped, ...] = ()

    def pin_memory(self) -> Triplets:
        """The same in memory that a GPU can copy from while it works (torch asks for it)."""
        return replace(
            self,
            pixels=self.pixels.pin_memory(),
            seen=self.seen.pin_memory(),
            targets=self.targets.pin_memory(),
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one process takes of a step, and how much of it at once.

    pictures: of a whole step, over all processes; at_once: those that go through the network
    together in one process.
    """

    pictures: int
    at_once: int
    rank: int = 0
    size: int = 1

    @property
    def own(self) -> int:
        """Pictures of a step that this process takes."""
        return self.pictures // self.size


class TripletSource(Protocol):
    """Where triplets come from; the same step gives the same ones, whenever it is asked."""

    @property
    def pictures(self) -> int:
        """How many there are, 0 where they never end."""
        ...

    def steps_from(self, step: int, share: Share) -> Iterator[Sequence[Triplets]]:
        """This process's share of every step from this one on, in parts of at most `at_once`."""
        ...


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Lists of facts as (lists, longest) int64, padded with NOBODY; at least one column."""
    longest = max((len(row) for row in rows), default=0) or 1
    table = torch.full((len(rows), longest), NOBODY, dtype=torch.int64)
    for filled, row in zip(table, rows, strict=True):
        filled[: len(row)] = torch.as_tensor(row, dtype=torch.int64)
    return table


def holding(stated: Tensor, true: Tensor) -> Tensor:
    """(pictures, texts) bool: which texts hold for which pictures.

    stated: (texts, facts), true: (pictures, facts), both padded with NOBODY. A text that states
    nothing holds for no picture.
    """
    padding = stated == NOBODY
    speaks = ~padding.all(dim=1)
    rows = [((torch.isin(stated, facts) | padding).all(dim=1) & speaks) for facts in true]
    return torch.stack(rows) if rows else torch.empty(0, len(stated), dtype=torch.bool)
