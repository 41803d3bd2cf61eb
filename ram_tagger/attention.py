"""Multi-head attention, the same for every part of the networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-30
"""Sum of exponentials under which a row is computed again, with its largest score taken off."""


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """softmax(queries · keys / sqrt(width) + bias) · values, with the heads side by side.

    queries: (pictures, heads, queries, width); keys, values: (pictures, heads, keys, width); bias:
    (pictures or 1, heads, queries, keys), of the same dtype. Returns (pictures, queries,
    heads * width).
    """
    products = queries.device.type == "cpu" and queries.dtype == torch.bfloat16
    if products and not torch.is_grad_enabled():
        seen = _by_products(queries, keys, values, bias)
        if seen is not None:
            return seen
    seen = F.scaled_dot_product_attention(queries, keys, values, bias, dropout)
    return seen.transpose(1, 2).flatten(2)


def _by_products(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None
) -> Tensor | None:
    """Two matrix products with an exponential between them, None where it leaves its range.

    In 16 bit on a processor this takes half the time of torch's fused kernel, which multiplies
    blocks too small for oneDNN, and two thirds of that with a softmax, which is slow in 16 bit:
    a column of ones beside the values gives what to divide by.
    """
    pictures, heads, rows, width = queries.shape
    columns = keys.shape[2]
    scores = queries.new_empty(pictures, heads, rows, columns)
    if bias is not None:
        scores.copy_(bias)
    flat = scores.view(pictures * heads, rows, columns)
    flat.baddbmm_(
        queries.reshape(pictures * heads, rows, width),
        keys.reshape(pictures * heads, columns, width).transpose(1, 2),
        beta=0 if bias is None else 1,
        alpha=width**-0.5,
    )
    extended = values.new_ones(pictures, heads, columns, width + 1)
    extended[..., :width] = values
    sums = torch.bmm(flat.exp_(), extended.view(pictures * heads, columns, width + 1))
    sums = sums.view(pictures, heads, rows, width + 1).transpose(1, 2)
    least, most = sums[..., width].aminmax()
    if not LEAST < least <= most < torch.inf:
        return None
    return torch.div(
        sums[..., :width], sums[..., width:], out=values.new_empty(pictures, rows, heads, width)
    ).flatten(2)
