"""One training loop for everything that is trained here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Batch = TypeVar("Batch")
REPORT_EVERY = 50


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: the rate rises linearly, then falls along a cosine to nothing."""

    steps: int
    rate: float = 2e-3
    warm_up: int = 200  # steps
    weight_decay: float = 0.02
    largest_gradient: float = 1.0  # norm to which gradients are clipped
    bf16: bool = False  # autocast


@dataclass(frozen=True, slots=True)
class Progress:
    """What the loop tells as it goes: mean losses since the last report, seconds to go."""

    step: int
    steps: int
    losses: Mapping[str, float]
    seconds_left: float

    def __str__(self) -> str:
        losses = "  ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        return f"{self.step}/{self.steps}  {losses}  {self.seconds_left:.0f} s left"


def train(
    networks: nn.Module,
    batches: Iterable[Batch],
    losses_of: Callable[[Batch], Mapping[str, Tensor]],
    schedule: Schedule,
    report: Callable[[Progress], None],
) -> None:
    """Take one AdamW step a batch on the sum of the losses, `schedule.steps` times.

    Only parameters that want a gradient move; weight decay spares vectors (norms, biases). Seeds
    are the caller's: equal seeds and batches give equal weights on one machine.
    """
    parameters = [p for p in networks.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": schedule.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=schedule.rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, schedule))
    device = parameters[0].device
    networks.train()
    sums: dict[str, Tensor] = {}
    start = time.monotonic()
    for step, batch in zip(range(1, schedule.steps + 1), batches, strict=False):
        with ExitStack() as scopes:
            scopes.enter_context(torch.autocast(device.type, torch.bfloat16, schedule.bf16))
            if device.type == "cpu":  # the fused backward pass is slower than plain products there
                scopes.enter_context(sdpa_kernel(SDPBackend.MATH))
            losses = losses_of(batch)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, schedule.largest_gradient)
        optimizer.step()
        scheduler.step()
        for name, loss in losses.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + loss.detach()
        if step % REPORT_EVERY == 0 or step == schedule.steps:
            counted = (step - 1) % REPORT_EVERY + 1
            left = (time.monotonic() - start) / step * (schedule.steps - step)
            means = {name: float(total) / counted for name, total in sums.items()}
            report(Progress(step, schedule.steps, means, left))
            sums.clear()
    networks.eval()


def _rate(step: int, schedule: Schedule) -> float:
    if step < schedule.warm_up:
        return (step + 1) / schedule.warm_up
    done = (step - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
