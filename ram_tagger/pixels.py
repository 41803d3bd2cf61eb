"""Pictures to network inputs: the two preprocessings, RAM++'s own and CLIP's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ram_tagger.config import ClipConfig, RamConfig


def ram_pixels(pictures: Sequence[Image.Image], config: RamConfig) -> Tensor:
    """Squeeze pictures of any size and mode to a square, aspect ratio not kept.

    Returns (pictures, 3, image_size, image_size) float32, normalised.
    """
    size = (config.image_size, config.image_size)
    resized = [_rgb(p).resize(size, Image.Resampling.BILINEAR) for p in pictures]
    return _normalised(resized, config.mean, config.std)


def clip_pixels(pictures: Sequence[Image.Image], config: ClipConfig) -> Tensor:
    """Resize the shorter side and cut out the middle, as OpenAI's CLIP does.

    Returns (pictures, 3, image_size, image_size) float32, normalised.
    """
    cropped = [_shorter_side_and_middle(_rgb(p), config.image_size) for p in pictures]
    return _normalised(cropped, config.mean, config.std)


def _rgb(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _shorter_side_and_middle(picture: Image.Image, size: int) -> Image.Image:
    width, height = picture.size
    short = min(width, height)
    scaled = (size, int(size * height / width)) if width == short else (
        int(size * width / height), size)  # fmt: skip
    picture = picture.resize(scaled, Image.Resampling.BICUBIC)
    left, top = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def _normalised(
    pictures: Sequence[Image.Image],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Tensor:
    bytes_ = torch.from_numpy(np.stack([np.asarray(p, dtype=np.uint8) for p in pictures]))
    pixels = bytes_.permute(0, 3, 1, 2).float().div(255)  # B 3 H W
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
