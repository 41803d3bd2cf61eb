"""The published RAM++ layout, translated: pure functions from state dict to state dict."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ram_tagger.config import RamConfig
from ram_tagger.errors import CheckpointError

StateDict = Mapping[str, Tensor]

_RENAMES = (
    (r"^vision_multi\.", "tagging_head."),
    (r"^visual_encoder\.", "encoder.backbone."),
    (r"^image_proj\.", "encoder.image_proj."),
    (r"^wordvec_proj\.", "decoder.wordvec_proj."),
    (r"^fc\.", "decoder.fc."),
    (
        r"^tagging_head\.encoder\.layer\.(\d+)\.crossattention\.self\.",
        r"decoder.layers.\1.attention.",
    ),
    (
        r"^tagging_head\.encoder\.layer\.(\d+)\.crossattention\.output\.dense\.",
        r"decoder.layers.\1.attention.output.",
    ),
    (
        r"^tagging_head\.encoder\.layer\.(\d+)\.crossattention\.output\.LayerNorm\.",
        r"decoder.layers.\1.attention_norm.",
    ),
    (
        r"^tagging_head\.encoder\.layer\.(\d+)\.intermediate\.dense\.",
        r"decoder.layers.\1.expand.",
    ),
    (r"^tagging_head\.encoder\.layer\.(\d+)\.output\.dense\.", r"decoder.layers.\1.contract."),
    (
        r"^tagging_head\.encoder\.layer\.(\d+)\.output\.LayerNorm\.",
        r"decoder.layers.\1.output_norm.",
    ),
)
_HEAD = r"tagging_head.encoder.layer.\1."
_PUBLISHED = (
    (r"^encoder\.backbone\.", "visual_encoder."),
    (r"^encoder\.image_proj\.", "image_proj."),
    (r"^decoder\.(wordvec_proj|fc)\.", r"\1."),
    (
        r"^decoder\.layers\.(\d+)\.attention\.output\.",
        _HEAD + "crossattention.output.dense.",
    ),
    (r"^decoder\.layers\.(\d+)\.attention\.", _HEAD + "crossattention.self."),
    (
        r"^decoder\.layers\.(\d+)\.attention_norm\.",
        _HEAD + "crossattention.output.LayerNorm.",
    ),
    (r"^decoder\.layers\.(\d+)\.expand\.", _HEAD + "intermediate.dense."),
    (r"^decoder\.layers\.(\d+)\.contract\.", _HEAD + "output.dense."),
    (r"^decoder\.layers\.(\d+)\.output_norm\.", _HEAD + "output.LayerNorm."),
)
_SWIN_SIZES = {(96, 6): "tiny", (96, 18): "small", (128, 18): "base", (192, 18): "large"}


def translate(published: StateDict) -> dict[str, Tensor]:
    """Published names to this project's; `label_embed` keeps its name.

    timm holds Swin's `downsample` at the start of the next stage instead of the end of its own.
    """
    return {_rename(name): value for name, value in published.items()}


def swin_names(state: StateDict) -> dict[str, Tensor]:
    """A Swin checkpoint of its own in timm's names, whichever of the two layouts it has."""
    if not any(name.startswith("layers.0.downsample.") for name in state):
        return dict(state)
    backbone = "encoder.backbone."
    return {_rename(backbone + name).removeprefix(backbone): v for name, v in state.items()}


def published_name(name: str) -> str:
    """What a published checkpoint calls a parameter of ours: `translate` the other way round."""
    stage = re.match(r"(encoder\.backbone\.layers)\.(\d+)\.downsample\.(.*)", name)
    if stage:
        name = f"{stage[1]}.{int(stage[2]) - 1}.downsample.{stage[3]}"
    for pattern, replacement in _PUBLISHED:
        name = re.sub(pattern, replacement, name)
    return name


def fit(
    translated: StateDict,
    wanted: Mapping[str, torch.Size],
    called: Callable[[str], str] = str,
) -> dict[str, Tensor]:
    """Exactly the wanted parameters, relative-position tables interpolated where windows differ.

    called: what the file that is read calls a parameter (`published_name`). Raises CheckpointError
    that names the first missing or mis-shaped parameters.
    """
    missing = [called(name) for name in wanted if name not in translated]
    if missing:
        raise CheckpointError(
            f"the checkpoint lacks {len(missing)} needed parameters: {_few(missing)}; "
            "is it a RAM++ checkpoint of this backbone?"
        )
    fitted = {name: _fit_table(name, translated[name], shape) for name, shape in wanted.items()}
    wrong = [
        f"{called(name)} is {tuple(value.shape)}, needed is {tuple(wanted[name])}"
        for name, value in fitted.items()
        if value.shape != wanted[name]
    ]
    if wrong:
        raise CheckpointError(f"parameters of other shapes: {_few(wrong)}; name another backbone")
    return fitted


def infer_config(published: StateDict) -> RamConfig:
    """Backbone and sizes from the shapes in a published checkpoint.

    Raises CheckpointError where it holds no Swin that timm knows.
    """
    state = translate(published)
    width = _shape(state, "encoder.backbone.patch_embed.proj.weight", 4)[0]
    table = "encoder.backbone.layers.0.blocks.0.attn.relative_position_bias_table"
    positions = _shape(state, table, 2)[0]
    hidden, embedding = _shape(state, "decoder.wordvec_proj.weight", 2)
    feed_forward = _shape(state, "decoder.layers.0.expand.weight", 2)[0]
    blocks = {m.group(1) for name in state if (m := re.match(_THIRD_STAGE, name))}
    window = (round(positions**0.5) + 1) // 2
    size = _SWIN_SIZES.get((width, len(blocks)))
    image_size = {7: 224, 12: 384}.get(window)
    if size is None or image_size is None:
        raise CheckpointError(
            f"a Swin of width {width}, {len(blocks)} blocks and window {window} has no name in timm"
        )
    return RamConfig(
        backbone=f"swin_{size}_patch4_window{window}_{image_size}",
        image_size=image_size,
        embedding_width=embedding,
        hidden_width=hidden,
        layers=len({m.group(1) for n in state if (m := re.match(r"decoder\.layers\.(\d+)", n))}),
        feed_forward_width=feed_forward,
    )


_THIRD_STAGE = r"encoder\.backbone\.layers\.2\.blocks\.(\d+)\."


def _shape(state: StateDict, name: str, axes: int) -> torch.Size:
    """The shape of a parameter that sizes are told from. Raises CheckpointError that names it."""
    if name not in state:
        raise CheckpointError(
            f"no RAM++ checkpoint with a Swin backbone: parameter {published_name(name)} is missing"
        )
    shape = state[name].shape
    if len(shape) != axes:
        raise CheckpointError(f"{published_name(name)} is {tuple(shape)}, needed are {axes} axes")
    return shape


def _rename(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    stage = re.match(r"(encoder\.backbone\.layers)\.(\d+)\.downsample\.(.*)", name)
    if stage:
        return f"{stage[1]}.{int(stage[2]) + 1}.downsample.{stage[3]}"
    return name


def _fit_table(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    if not name.endswith("relative_position_bias_table") or value.shape == shape:
        return value
    side, wanted = round(value.shape[0] ** 0.5), round(shape[0] ** 0.5)
    if side * side != value.shape[0] or wanted * wanted != shape[0]:
        return value
    grid = value.float().T.reshape(1, -1, side, side)  # 1 heads side side
    grid = F.interpolate(grid, size=(wanted, wanted), mode="bicubic", align_corners=True)
    return grid.flatten(2)[0].T.to(value.dtype).contiguous()


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
