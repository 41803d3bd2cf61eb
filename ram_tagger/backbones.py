"""Backbones that this project adds to timm's registry, so that a config can name them."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet

default_cfgs = generate_default_cfgs(
    {"sketch_resnet.untrained": {"url": "", "input_size": (3, 96, 96), "pool_size": (6, 6)}}
)


@register_model  # type: ignore[untyped-decorator]
def sketch_resnet(pretrained: bool = False, **options: Any) -> ResNet:
    """A small residual network for 96-pixel pictures: stride 16, 36 spatial tokens."""
    shape = {
        "block": BasicBlock,
        "layers": (1, 1, 1, 1),
        "channels": (32, 64, 128, 192),
        "stem_type": "deep",
        "stem_width": 16,
        "output_stride": 16,
    }
    return build_model_with_cfg(ResNet, "sketch_resnet", pretrained, **{**shape, **options})
