"""The bank of description embeddings that the network reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ram_tagger.errors import ShapeError

TOGETHER = 128
"""Labels averaged at a time: their descriptions are read twice, from the cache the second time."""


class LabelBank:
    """Description embeddings of many labels, any number of descriptions for each.

    embeddings: (descriptions of all labels, width), unit length, label after label;
    counts: how many rows each label has. The original RAM++ needs equal counts; here labels with
    the same count are handled together, so that a bank of equal counts is one matrix product.
    """

    def __init__(self, embeddings: Tensor, counts: Tensor) -> None:
        if embeddings.ndim != 2 or int(counts.sum()) != len(embeddings):
            raise ShapeError(
                f"{tuple(embeddings.shape)} description embeddings do not fit "
                f"{int(counts.sum())} descriptions of {len(counts)} labels"
            )
        if len(counts) and int(counts.min()) < 1:
            raise ShapeError("a label without a description cannot be scored: give it one")
        self.embeddings = embeddings
        self.counts = counts.to(torch.int64).cpu()
        starts = self.counts.cumsum(0) - self.counts
        self._groups = [
            (labels := torch.nonzero(self.counts == count).flatten(), starts[labels], int(count))
            for count in self.counts.unique()
        ]

    def __len__(self) -> int:
        return len(self.counts)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> LabelBank:
        """The same bank elsewhere."""
        # A copy of the counts: else they would hold on to the file that all of it is mapped from.
        return LabelBank(self.embeddings.to(device=device, dtype=dtype), self.counts.clone())

    def chosen(self, rows: Sequence[int]) -> LabelBank:
        """Some of the labels, in another order if so wished."""
        parts = self.embeddings.split(self.counts.tolist())
        return LabelBank(torch.cat([parts[row] for row in rows]), self.counts[list(rows)])

    def first(self, descriptions: int) -> LabelBank:
        """Every label with no more than so many of its descriptions, the first ones."""
        parts = [p[:descriptions] for p in self.embeddings.split(self.counts.tolist())]
        return LabelBank(torch.cat(parts), self.counts.clamp(max=descriptions))

    def joined(self, other: LabelBank) -> LabelBank:
        """The labels of both."""
        return LabelBank(
            torch.cat([self.embeddings, other.embeddings.to(self.embeddings)]),
            torch.cat([self.counts, other.counts]),
        )

    def weighted(self, glance: Tensor) -> Tensor:
        """Every label's descriptions, averaged by softmax(glance · description).

        glance: (pictures, width), the scaled picture embedding. Returns (pictures, labels, width).
        """
        if glance.shape[-1] != self.embeddings.shape[-1]:
            raise ShapeError(
                f"pictures are {glance.shape[-1]} wide, descriptions {self.embeddings.shape[-1]}: "
                "they come from different models"
            )
        if len(self._groups) == 1:
            count = self._groups[0][2]
            together = len(self) if glance.is_cuda else TOGETHER
            parts = self.embeddings.split(together * count)
            return torch.cat([self._average(glance, part, count) for part in parts], dim=1)
        parts, order = [], []
        for labels, starts, count in self._groups:
            rows = (starts[:, None] + torch.arange(count)).flatten().to(glance.device)
            parts.append(self._average(glance, self.embeddings[rows], count))  # B group D
            order.append(labels)
        # Under autocast the averages are 16 bit and the single descriptions are not.
        dtype = parts[0].dtype if len({part.dtype for part in parts}) == 1 else glance.dtype
        joined = torch.cat([part.to(dtype) for part in parts], dim=1)
        return joined[:, torch.cat(order).argsort().to(glance.device)]  # B C D

    @staticmethod
    def _average(glance: Tensor, embeddings: Tensor, count: int) -> Tensor:
        if count == 1:
            return embeddings.unsqueeze(0).expand(len(glance), -1, -1)  # B C D
        weights = (glance @ embeddings.T).unflatten(1, (-1, count)).softmax(dim=-1)  # B C K
        descriptions = embeddings.unflatten(0, (-1, count))  # C K D
        return torch.bmm(weights.transpose(0, 1), descriptions).transpose(0, 1)  # B C D
