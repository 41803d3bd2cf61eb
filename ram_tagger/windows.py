"""Swin's stages with their tokens in window order: the same figures with half the copying.

timm cuts a feature map into windows and joins it again in every block. All but the attention treats
tokens one by one, whatever their order: here tokens are put in window order once a stage, and only
blocks with shifted windows move them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from ram_tagger.attention import attend
from ram_tagger.packed import added, gelu_after

STAGE_BYTES = 16 << 20
"""Bytes of a block's widest activations for which pictures are taken together on a processor: they
stay within its cache, while deep stages, whose weights are large, see several pictures at once."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A block, the bias that its attention adds, and where its windows take their tokens from.

    bias: (1 or windows, heads, area, area); into, back: (tokens,) between the order of the stage
    and that of the block, None where they are the same.
    """

    layer: Any
    bias: Tensor
    into: Tensor | None
    back: Tensor | None


@dataclass(frozen=True, slots=True)
class _Stage:
    """entry: for each token of the stage, in window order, the tokens it is made of (tokens * 1 or
    4,); the merging layer, None where tokens are only put in order; pictures: run at a time."""

    entry: Tensor
    merging: Any
    blocks: tuple[_Block, ...]
    pictures: int


class WindowOrder:
    """How a timm Swin runs for inference. Holds what its weights say: make it anew for others."""

    def __init__(self, backbone: SwinTransformer) -> None:
        self._backbone = backbone
        device = backbone.norm.weight.device
        grid = cast("tuple[int, int]", tuple(backbone.patch_embed.grid_size))
        place = torch.arange(grid[0] * grid[1])  # of each raster token in the order it comes in
        self._stages: list[_Stage] = []
        for layer in backbone.layers:
            first = layer.blocks[0]
            merging = None if isinstance(layer.downsample, nn.Identity) else layer.downsample
            size = cast("tuple[int, int]", tuple(first.input_resolution))
            order = _windows(torch.arange(size[0] * size[1]), size, first.window_size)
            made_of = place.view(-1, 1) if merging is None else _merged(place, size)
            self._stages.append(
                _Stage(
                    made_of[order].flatten().to(device),
                    merging,
                    tuple(_block(block, size, order.argsort(), device) for block in layer.blocks),
                    _together(first, len(order), device),
                )
            )
            place = order.argsort()
        self._exit = place.to(device)

    @staticmethod
    def fits(backbone: SwinTransformer) -> bool:
        """Whether it is of whole windows: no padding, one size of picture."""
        layers: list[Any] = list(backbone.layers)
        return all(
            not getattr(block, "dynamic_mask", False)
            and _divides(block.window_size, block.input_resolution)
            and block.window_size == layer.blocks[0].window_size
            and (isinstance(layer.downsample, nn.Identity) or _is_even(layer.input_resolution))
            for layer in layers
            for block in layer.blocks
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """(pictures, 3, size, size) to `forward_features`, flat: (pictures, tokens, width)."""
        tokens = pixels
        for number, stage in enumerate(self._stages):
            parts = tokens.split(stage.pictures)
            if number == 0:
                parts = [self._backbone.patch_embed(part).flatten(1, 2) for part in parts]
            tokens = torch.cat([_run(stage, part) for part in parts])
        return cast(Tensor, self._backbone.norm(tokens.index_select(1, self._exit)))  # B N D


def _run(stage: _Stage, tokens: Tensor) -> Tensor:
    x = tokens.index_select(1, stage.entry)
    if stage.merging is not None:
        x = stage.merging.reduction(stage.merging.norm(x.unflatten(1, (-1, 4)).flatten(2)))
    for block in stage.blocks:
        x = _run_block(block, x)
    return x


def _run_block(block: _Block, x: Tensor) -> Tensor:
    layer = block.layer
    inner = layer.norm1(x)
    if block.into is not None:
        inner = inner.index_select(1, block.into)
    heads, area = layer.attn.num_heads, layer.attn.window_area
    qkv = layer.attn.qkv(inner).unflatten(1, (-1, area)).unflatten(-1, (3, heads, -1))
    # B windows area 3 heads D; picture by picture where each window has a bias of its own, and on
    # a processor, whose cache holds the scores of one.
    at_once = qkv.is_cuda and len(block.bias) == 1
    parts = [qkv.flatten(0, 1)] if at_once else qkv
    seen = torch.cat([_attend(part.permute(2, 0, 3, 1, 4), block.bias) for part in parts])
    seen = seen.view(x.shape)
    if block.back is not None:
        seen = seen.index_select(1, block.back)
    x = added(layer.attn.proj, seen, x)
    return added(layer.mlp.fc2, gelu_after(layer.mlp.fc1, layer.norm2(x)), x)


def _attend(qkv: Tensor, bias: Tensor) -> Tensor:
    queries, keys, values = qkv  # windows heads area D
    return attend(queries, keys, values, bias)  # windows area heads * D


def _block(layer: Any, size: tuple[int, int], place: Tensor, device: torch.device) -> _Block:
    """place: of each raster token in the order of the stage."""
    bias = layer.attn._get_rel_pos_bias().detach()
    if layer.attn_mask is not None:
        bias = bias + layer.attn_mask.unsqueeze(1)
    if not any(layer.shift_size):
        return _Block(layer, bias, None, None)
    raster = torch.arange(len(place)).view(size).roll([-s for s in layer.shift_size], (0, 1))
    into = place[_windows(raster.flatten(), size, layer.window_size)]
    return _Block(layer, bias, into.to(device), into.argsort().to(device))


def _windows(raster: Tensor, size: tuple[int, int], window: tuple[int, int]) -> Tensor:
    """What lies in raster order, window after window."""
    (height, width), (rows, columns) = size, window
    cut = raster.view(height // rows, rows, width // columns, columns)
    return cut.transpose(1, 2).flatten()


def _merged(place: Tensor, size: tuple[int, int]) -> Tensor:
    """(tokens, 4) the places of the tokens that patch merging joins, in timm's order."""
    square = place.view(size[0], 2, size[1], 2)
    return square.permute(0, 2, 3, 1).reshape(-1, 4)


def _together(block: Any, tokens: int, device: torch.device) -> int:
    if device.type != "cpu":
        return 1 << 16
    widest = block.mlp.fc1.out_features * block.norm1.weight.element_size()
    return int(max(1, STAGE_BYTES // (tokens * widest)))


def _is_even(size: tuple[int, int]) -> bool:
    return _divides((2, 2), size)


def _divides(part: tuple[int, int], size: tuple[int, int]) -> bool:
    return size[0] % part[0] == size[1] % part[1] == 0
