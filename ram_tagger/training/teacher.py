"""The frozen CLIP: whose image embedding the mean token imitates, and which reads the captions."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ram_tagger.clip import Clip
from ram_tagger.pixels import normalised

AT_ONCE = 256
"""Pictures or texts embedded together: bounds memory whatever is asked."""


class Teacher:
    """CLIP on the training device, in float32, its weights never moved."""

    def __init__(self, clip: Clip, device: torch.device) -> None:
        self.clip, self.device = clip, device
        clip.network.to(device).requires_grad_(False)

    @torch.no_grad()
    def see(self, seen: Tensor) -> Tensor:
        """(pictures, 3, size, size) uint8 to (pictures, width) float32, of CLIP's own length.

        Embeddings are handed back as they are.
        """
        if seen.ndim == 2:
            return seen.to(self.device)
        network, config = cast(Any, self.clip.network).eval(), self.clip.config
        parts = [
            network.encode_image(normalised(part.to(self.device), config.mean, config.std)).float()
            for part in seen.split(AT_ONCE)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def read(self, texts: Tensor) -> Tensor:
        """(texts, length) int64 token ids to (texts, width) float32, unit length.

        Embeddings are handed back as they are.
        """
        if texts.is_floating_point():
            return texts.to(self.device)
        network = cast(Any, self.clip.network).eval()
        parts = [network.encode_text(part.to(self.device)).float() for part in texts.split(AT_ONCE)]
        return torch.nn.functional.normalize(torch.cat(parts), dim=-1)
