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
    squares = [squeezed(picture, config.image_size) for picture in pictures]
    return _normalised(squares, config.mean, config.std)


def clip_pixels(pictures: Sequence[Image.Image], config: ClipConfig) -> Tensor:
    """Resize the shorter side and cut out the middle, as OpenAI's CLIP does.

    Returns (pictures, 3, image_size, image_size) float32, normalised.
    """
    squares = [middle_square(picture, config.image_size) for picture in pictures]
    return _normalised(squares, config.mean, config.std)


def squeezed(picture: Image.Image, size: int) -> Image.Image:
    """The whole picture as an RGB square: what RAM++ sees."""
    return as_rgb(picture).resize((size, size), Image.Resampling.BILINEAR)


def middle_square(picture: Image.Image, size: int) -> Image.Image:
    """The middle of the picture as an RGB square: what CLIP sees."""
    picture = _without_far_ends(as_rgb(picture))
    width, height = picture.size
    short = min(width, height)
    scaled = (int(size * width / short), int(size * height / short))
    picture = picture.resize(scaled, Image.Resampling.BICUBIC)
    left, top = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def as_rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB, transparency dropped; 16-bit greys keep their upper byte."""
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255: every 16-bit picture would come out white.
        upper = (np.asarray(picture) >> 8).astype(np.uint8)
        return Image.fromarray(upper).convert("RGB")
    return picture.convert("RGB")


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
    return normalised(bytes_.permute(0, 3, 1, 2), mean, std)  # B 3 H W


def normalised(
    pixels: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """(pictures, 3, height, width) uint8 to float32 as a network wants it, on the same device."""
    middle = torch.tensor(mean, device=pixels.device).view(3, 1, 1)
    deviation = torch.tensor(std, device=pixels.device).view(3, 1, 1)
    return (pixels.float().div(255) - middle) / deviation
