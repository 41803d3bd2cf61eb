"""Pictures to network inputs: the two preprocessings, RAM++'s own and CLIP's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ram_tagger.config import ClipConfig, RamConfig

LONGEST = 16
"""Longer side over shorter side from which the ends are cut off before a picture is scaled."""


def ram_pixels(pictures: Sequence[Image.Image], config: RamConfig) -> Tensor:
    """Squeeze pictures of any size and mode to a square, aspect ratio not kept.

    Returns (pictures, 3, image_size, image_size) float32, normalised.
    """
    size = (config.image_size, config.image_size)
    resized = [as_rgb(p).resize(size, Image.Resampling.BILINEAR) for p in pictures]
    return _normalised(resized, config.mean, config.std)


def clip_pixels(pictures: Sequence[Image.Image], config: ClipConfig) -> Tensor:
    """Resize the shorter side and cut out the middle, as OpenAI's CLIP does.

    Returns (pictures, 3, image_size, image_size) float32, normalised.
    """
    cropped = [_middle_square(as_rgb(p), config.image_size) for p in pictures]
    return _normalised(cropped, config.mean, config.std)


def as_rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB, transparency dropped; 16-bit greys keep their upper byte."""
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255: every 16-bit picture would come out white.
        upper = (np.asarray(picture) >> 8).astype(np.uint8)
        return Image.fromarray(upper).convert("RGB")
    return picture.convert("RGB")


def _middle_square(picture: Image.Image, size: int) -> Image.Image:
    picture = _without_far_ends(picture)
    width, height = picture.size
    short = min(width, height)
    scaled = (int(size * width / short), int(size * height / short))
    picture = picture.resize(scaled, Image.Resampling.BICUBIC)
    left, top = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """Only the middle of very long pictures: scaled whole, a strip would need gigabytes."""
    width, height = picture.size
    longest = LONGEST * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    if left == top == 0:
        return picture
    return picture.crop((left, top, width - left, height - top))


def _normalised(
    pictures: Sequence[Image.Image],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Tensor:
    bytes_ = torch.from_numpy(np.stack([np.asarray(p, dtype=np.uint8) for p in pictures]))
    pixels = bytes_.permute(0, 3, 1, 2).float().div(255)  # B 3 H W
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
