"""How long training goes on and how fast, as pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate rises linearly from `first_rate`, then falls to `least_rate`.

    decay: "cosine" falls along half a cosine; "power" multiplies by `decay_factor` once an epoch.
    by_epoch: the cosine falls in a stair an epoch too, as the published recipes do it; then
    `steps_per_epoch` has to be known.
    """

    steps: int
    rate: float = 2e-3
    warm_up: int = 200  # steps
    first_rate: float = 0.0
    least_rate: float = 0.0
    decay: Literal["cosine", "power"] = "cosine"
    decay_factor: float = 0.9
    by_epoch: bool = False
    steps_per_epoch: float = 0.0
    weight_decay: float = 0.02
    largest_gradient: float = 1.0  # norm to which gradients are clipped; 0: never
    bf16: bool = False  # autocast

    def rate_at(self, step: int) -> float:
        """The learning rate of a step; the first step is 0."""
        if step < self.warm_up:
            return self.first_rate + (self.rate - self.first_rate) * (step + 1) / self.warm_up
        if self.decay == "power":
            return max(self.least_rate, self.rate * self.decay_factor ** self._epoch(step))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self._done(step))))
        return self.least_rate + (self.rate - self.least_rate) * fall

    def _epoch(self, step: int) -> int:
        return int(step / self.steps_per_epoch) if self.steps_per_epoch else 0

    def _done(self, step: int) -> float:
        if self.by_epoch and self.steps_per_epoch:
            return self._epoch(step) / max(1, round(self.steps / self.steps_per_epoch))
        return (step - self.warm_up) / max(1, self.steps - self.warm_up)
