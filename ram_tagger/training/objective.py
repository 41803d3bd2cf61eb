"""RAM++'s training objective: the network, its label embeddings and the three losses."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ram_tagger.labels import LabelBank
from ram_tagger.model import RamPlus
from ram_tagger.pixels import normalised
from ram_tagger.training.losses import (
    alignment_loss,
    distillation_loss,
    keeping_loss,
    tagging_loss,
)
from ram_tagger.training.processes import Processes
from ram_tagger.training.recipe import Loss
from ram_tagger.training.teacher import Teacher
from ram_tagger.training.triplets import NOBODY, Share, Skipped, Triplets, TripletSource, holding


@dataclass(frozen=True, slots=True)
class Piece:
    """Pictures of a step, ready for the network, and the texts of the whole step.

    The texts are those of every process and every piece: alignment sees the whole step.
    """

    pixels: Tensor  # B 3 H W, uint8
    seen: Tensor | None  # B D, CLIP's embeddings; None where nothing is distilled
    targets: Tensor  # B C, float32
    texts: Tensor  # T D, CLIP's embeddings, unit length
    own: Tensor  # B T, bool
    holds: Tensor | None  # B T, bool
    of: int  # pictures in the whole step


KEPT_AT_ONCE = 512
"""Known tags that a step looks at, drawn by chance: labels do not see each other."""


class Known:
    """Tags of which the annotations say nothing: the model is to go on seeing what it saw.

    told: the rows of the bank that are annotated; known: the others.
    """

    def __init__(self, network: RamPlus, bank: LabelBank, annotated: Tensor) -> None:
        """network: copied as it is now; annotated: (labels,) bool, on the processor."""
        self.told = annotated.nonzero().flatten()
        self.known = (~annotated).nonzero().flatten()
        encoder = network.encoder
        self._sees_alike = not any(p.requires_grad for p in encoder.parameters())
        shared = {id(encoder): encoder} if self._sees_alike else {}
        self._network = copy.deepcopy(network, shared).eval().requires_grad_(False)
        self._bank = bank

    def some(self) -> Tensor:
        """Some of the known rows, by torch's chance."""
        if len(self.known) <= KEPT_AT_ONCE:
            return self.known
        return self.known[torch.randperm(len(self.known))[:KEPT_AT_ONCE]]

    @torch.no_grad()
    def probabilities(self, pixels: Tensor, tokens: Tensor, rows: Tensor) -> Tensor:
        """What it believed of these rows' tags: (pictures, rows) float32.

        pixels: (pictures, 3, size, size), normalised; tokens: what the trained network makes of
        them, which a frozen encoder makes as ever.
        """
        seen = tokens if self._sees_alike else self._network.encode(pixels)
        return logits_of(self._network, seen, self._bank.chosen(rows.tolist())).sigmoid()


def logits_of(network: RamPlus, tokens: Tensor, bank: LabelBank) -> Tensor:
    """(pictures, labels) float32 logits, also under autocast."""
    with torch.autocast(tokens.device.type, enabled=False):  # sharp softmaxes
        labels = network.reweight(tokens.float(), bank)
    logits: Tensor = network.decoder(labels, tokens)
    return logits.float()


class Objective(nn.Module):
    """From a piece of data to the three losses (arXiv 2310.15200, section 3)."""

    def __init__(
        self,
        network: RamPlus,
        bank: LabelBank,
        weights: Loss,
        fixed_statistics: bool,
        known: Known | None = None,
    ) -> None:
        """fixed_statistics: batch normalisation keeps the means that it has, as small data wants.

        known: what the annotations say nothing about. The bank's embeddings are trained where they
        require a gradient.
        """
        super().__init__()
        self.known = known
        self.network, self.weights, self.fixed_statistics = network, weights, fixed_statistics
        self.counts = bank.counts
        if bank.embeddings.requires_grad:
            self.label_embeddings = nn.Parameter(bank.embeddings)
        else:
            self.register_buffer("label_embeddings", bank.embeddings, persistent=False)

    @property
    def bank(self) -> LabelBank:
        """The label embeddings as they are now."""
        return LabelBank(self.label_embeddings, self.counts)

    def train(self, mode: bool = True) -> Objective:
        """Training or evaluation mode; a frozen encoder sees as it does when tagging."""
        super().train(mode)
        if not any(p.requires_grad for p in self.network.encoder.parameters()):
            self.network.encoder.eval()
        if self.fixed_statistics:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, piece: Piece) -> dict[str, Tensor]:
        """Each weighted loss, this piece's part of it."""
        weights, network = self.weights, self.network
        pixels = normalised(piece.pixels, network.config.mean, network.config.std)  # B 3 H W
        tokens = network.encode(pixels.contiguous(memory_format=torch.channels_last))
        losses: dict[str, Tensor] = {}
        if weights.tagging:
            losses |= self._about_tags(pixels, tokens, piece.targets)
        if weights.distillation and piece.seen is not None:
            target = F.normalize(piece.seen, dim=-1) if weights.unit_target else piece.seen
            part = len(piece.pixels) / piece.of  # the loss is a mean over the step's pictures
            losses["distillation"] = distillation_loss(tokens.float(), target) * part
        if weights.alignment:
            logits = network.align(tokens, piece.texts).float()
            losses["alignment"] = alignment_loss(logits, piece.own, piece.holds)
        return {name: loss * getattr(weights, name) for name, loss in losses.items()}

    def _about_tags(self, pixels: Tensor, tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if self.known is None:
            return {"tagging": tagging_loss(logits_of(self.network, tokens, self.bank), targets)}
        told, kept = self.known.told, self.known.some()
        bank = self.bank.chosen([*told.tolist(), *kept.tolist()])
        logits = logits_of(self.network, tokens, bank)
        losses = {"tagging": tagging_loss(logits[:, : len(told)], targets[:, told])}
        if self.weights.keeping:
            believed = self.known.probabilities(pixels, tokens, kept)
            drawn = len(self.known.known) / len(kept)  # the loss is a sum over all known tags
            losses["keeping"] = keeping_loss(logits[:, len(told) :], believed) * drawn
        return losses


@dataclass(frozen=True, slots=True)
class Tagging:
    """The task of training a tagger, for the loop."""

    objective: Objective
    source: TripletSource
    teacher: Teacher
    share: Share
    processes: Processes
    skipped: list[Skipped] = field(default_factory=list)  # since it was emptied last

    def pieces_from(self, step: int) -> Iterator[Sequence[Piece]]:
        """Every step's pieces, embedded by CLIP; the texts of all processes are put together."""
        for parts in self.source.steps_from(step, self.share):
            self.skipped.extend(skip for part in parts for skip in part.skipped)
            yield self._pieces(parts)

    def _pieces(self, parts: Sequence[Triplets]) -> list[Piece]:
        device, first = self.processes.device, self.share.rank * self.share.own
        starts = [first + sum(len(p.pixels) for p in parts[:i]) for i in range(len(parts))]
        owners = [
            torch.where(part.owners == NOBODY, NOBODY, part.owners + start)
            for part, start in zip(parts, starts, strict=True)
        ]
        texts = self.processes.gather(self.teacher.read(torch.cat([p.texts for p in parts])))
        owner = self.processes.gather(torch.cat(owners).to(device))
        stated = self._stated(parts) if self.objective.weights.spare_holding else None
        return [
            self._piece(part, start, texts, owner, stated)
            for part, start in zip(parts, starts, strict=True)
        ]

    def _piece(
        self, part: Triplets, start: int, texts: Tensor, owner: Tensor, stated: Tensor | None
    ) -> Piece:
        device = self.processes.device
        rows = torch.arange(start, start + len(part.pixels), device=device)
        return Piece(
            pixels=part.pixels.to(device, non_blocking=True),
            seen=self.teacher.see(part.seen) if self.objective.weights.distillation else None,
            targets=part.targets.to(device),
            texts=texts,
            own=owner.unsqueeze(0) == rows.unsqueeze(1),
            holds=None if stated is None else holding(stated, part.true.to(device)),
            of=self.share.pictures,
        )

    def _stated(self, parts: Sequence[Triplets]) -> Tensor:
        """The facts of every text of the step, padded alike in every process."""
        widest = self.processes.largest(max(part.stated.shape[1] for part in parts))
        rows = [
            F.pad(part.stated, (0, widest - part.stated.shape[1]), value=NOBODY) for part in parts
        ]
        return self.processes.gather(torch.cat(rows).to(self.processes.device))
