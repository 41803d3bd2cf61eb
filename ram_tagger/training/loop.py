"""One training loop for everything that is trained here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ram_tagger.training.processes import Processes, without_joining
from ram_tagger.training.schedule import Schedule

Piece = TypeVar("Piece")
PieceOut = TypeVar("PieceOut", covariant=True)


class Task(Protocol[PieceOut]):
    """What is trained, on what, towards what.

    `objective` holds the parameters (those that want a gradient move) and, called with a piece of
    data, gives this process's part of each loss, weighted: their sum is what falls. A step's data
    comes in one or more pieces whose losses are added up, so that a step may be larger than memory.
    """

    @property
    def objective(self) -> nn.Module: ...

    def pieces_from(self, step: int) -> Iterator[Sequence[PieceOut]]:
        """The pieces of every step from this one on (the first is 0), always the same ones."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """One step that was taken."""

    step: int  # how many have been taken
    losses: Mapping[str, Tensor]  # over all processes, still on the device
    gradient: Tensor  # norm before clipping
    rate: float


class Loop(Generic[Piece]):
    """AdamW on the sum of a task's losses; weight decay spares vectors (norms, biases).

    Chance is drawn anew for every step from the seed and the step, and data is a function of the
    step: a loop that is restored from its state goes on exactly as if it had never stopped.
    """

    def __init__(
        self, task: Task[Piece], schedule: Schedule, seed: int, processes: Processes
    ) -> None:
        self.task, self.schedule, self.seed, self.processes = task, schedule, seed, processes
        self.step = 0
        self._objective = processes.joined(task.objective)
        self._moving = [p for p in task.objective.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in self._moving if p.ndim >= 2],
                "weight_decay": schedule.weight_decay,
            },
            {"params": [p for p in self._moving if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=schedule.rate)

    def steps(self) -> Iterator[Taken]:
        """Take the steps that are left; between two of them the caller may do as it likes."""
        pieces_of = self.task.pieces_from(self.step)
        while self.step < self.schedule.steps:
            yield self._take(next(pieces_of))

    def state(self) -> dict[str, Any]:
        """All that has to be kept to go on later."""
        return {
            "step": self.step,
            "objective": self.task.objective.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step = state["step"]
        self.task.objective.load_state_dict(state["objective"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _take(self, pieces: Sequence[Piece]) -> Taken:
        rate = self.schedule.rate_at(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_chance(self.seed, self.step, self.processes.rank))
        self._objective.train()
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, piece in enumerate(pieces, 1):
            with without_joining(self._objective, number == len(pieces)):
                losses = self._losses(piece)
                # Joining averages over the processes; what is wanted is the sum.
                total = torch.stack(list(losses.values())).sum() * self.processes.size
                total.backward()  # type: ignore[no-untyped-call]
            for name, loss in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(loss)) + loss.detach()
        gradient = nn.utils.clip_grad_norm_(
            self._moving, self.schedule.largest_gradient or float("inf")
        )
        self._optimizer.step()
        self.step += 1
        joint = self.processes.total(torch.stack(list(sums.values())))
        return Taken(self.step, dict(zip(sums, joint, strict=True)), gradient.detach(), rate)

    def _losses(self, piece: Piece) -> dict[str, Tensor]:
        device = self.processes.device
        with ExitStack() as scopes:
            scopes.enter_context(torch.autocast(device.type, torch.bfloat16, self.schedule.bf16))
            if device.type == "cpu":  # the fused backward pass is slower than plain products there
                scopes.enter_context(sdpa_kernel(SDPBackend.MATH))
            losses: dict[str, Tensor] = self._objective(piece)
        return losses


def _chance(seed: int, step: int, rank: int) -> int:
    """A seed for one step of one process that has nothing to do with that of any other."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")
