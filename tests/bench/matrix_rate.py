"""What the processor multiplies at most: the limit that everything else is held against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from figures import median_seconds

SIDE = 4096


@torch.inference_mode()
def matrix_rate(dtype: torch.dtype, device: str = "cpu", rounds: int = 5) -> float:
    """Multiply-adds a second of large matrix products, with as many threads as torch has."""
    left, right = torch.randn(2, SIDE, SIDE).to(device, dtype)

    def multiply() -> None:
        F.linear(left, right)
        finish(device)

    return SIDE**3 / median_seconds(multiply, rounds)


def finish(device: str) -> None:
    """Wait for what a GPU was told to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
