"""The image encoder: any timm backbone with a spatial feature map, to image tokens."""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from ram_tagger import backbones  # noqa: F401  (registers this project's backbones with timm)
from ram_tagger.config import RamConfig
from ram_tagger.errors import RamTaggerError
from ram_tagger.windows import WindowOrder


class ImageEncoder(nn.Module):
    """Pixels to image tokens: backbone, mean token in front, projection to the embedding width."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.backbone = _backbone(config)
        self.image_proj = nn.Linear(self.backbone.num_features, config.embedding_width)
        self._windows: WindowOrder | None = None

    def settle(self) -> None:
        """Prepare for inference: the weights are final, in place and of their last precision."""
        if isinstance(self.backbone, SwinTransformer) and WindowOrder.fits(self.backbone):
            self._windows = WindowOrder(self.backbone)

    def features(self, pixels: Tensor) -> Tensor:
        """Backbone tokens before projection.

        pixels: (pictures, 3, image_size, image_size), normalised.
        Returns (pictures, 1 + patches, backbone width); token 0 is the mean of the others.
        """
        if self._windows is not None and not self.training:
            spatial = self._windows(pixels)
        else:
            spatial = spatial_tokens(self.backbone, self.backbone.forward_features(pixels))
        return torch.cat([spatial.mean(dim=1, keepdim=True), spatial], dim=1)  # B N D

    def forward(self, pixels: Tensor) -> Tensor:
        """(pictures, 3, image_size, image_size) to image tokens (pictures, 1 + patches, width)."""
        return cast(Tensor, self.image_proj(self.features(pixels)))  # B N D


def _backbone(config: RamConfig) -> Any:
    if not timm.is_model(config.backbone):
        raise RamTaggerError(f'timm has no backbone "{config.backbone}": install a newer timm')
    known = timm.models.get_pretrained_cfg(config.backbone)
    size = {"img_size": config.image_size} if known and known.fixed_input_size else {}
    return timm.create_model(config.backbone, num_classes=0, **size)


def spatial_tokens(backbone: nn.Module, features: Tensor) -> Tensor:
    """A timm backbone's feature map as (pictures, patches, width), whatever its own layout."""
    if features.ndim == 3:
        return features[:, getattr(backbone, "num_prefix_tokens", 0) :]  # B N D
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)  # B N D
    return features.flatten(2).transpose(1, 2)  # B N D
