"""16-bit layers on a processor: weights laid out once as they are multiplied, sums in one pass.

torch lays a weight out anew at every call and passes over each result once more for a bias, a GELU
or a residual. oneDNN, which does the multiplying, can do it all in one go; these are the calls that
torch's own compiler makes for the same purpose.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """A linear layer for inference in bf16 on the processor. Its weight cannot be read back."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        # No parameters: nothing may move or convert what is laid out already.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(_contiguous_bf16(weight))
        self._bias = None if bias is None else _contiguous_bf16(bias)
        self.out_features, self.in_features = weight.shape

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) bf16 to (…, out) bf16."""
        return self.then("none", x)

    def then(self, name: str, x: Tensor) -> Tensor:
        """The layer and an activation after it: `gelu`, `relu`, `swish` or `none`."""
        algorithm = "none" if name == "gelu" else ""
        call = torch.ops.mkldnn._linear_pointwise
        return cast(Tensor, call(x, self._weight, self._bias, name, [], algorithm))

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """residual + the layer of x."""
        call = torch.ops.mkldnn._linear_pointwise.binary
        return cast(Tensor, call(x, residual, self._weight, self._bias, "add"))


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN's calls, and this processor 16-bit products."""
    calls = torch.ops.mkldnn
    return (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and all(hasattr(calls, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
        and bool(calls._is_mkldnn_bf16_supported())
    )


def pack(module: nn.Module) -> None:
    """Replace the linear layers in a network, one by one, so that memory holds few of them twice.

    Layers of another class are left alone, and those that their owner lists in `unpacked`: it
    reads their weight.
    """
    kept = getattr(module, "unpacked", ())
    for name, child in module.named_children():
        if name in kept:
            continue
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child.weight.detach(), _detached(child.bias)))
        else:
            pack(child)


def gelu_after(layer: nn.Module, x: Tensor) -> Tensor:
    """GELU of a linear layer."""
    if isinstance(layer, PackedLinear):
        return layer.then("gelu", x)
    return F.gelu(layer(x))


def added(
    layer: nn.Module, x: Tensor, residual: Tensor, dropout: nn.Module | None = None
) -> Tensor:
    """residual + a linear layer of x, which `dropout` thins out in training."""
    if isinstance(layer, PackedLinear):
        return layer.plus(x, residual)
    y = layer(x) if dropout is None else dropout(layer(x))
    return cast(Tensor, residual + y)


def _contiguous_bf16(values: Tensor) -> Tensor:
    return values.detach().to(torch.bfloat16).contiguous()


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()
