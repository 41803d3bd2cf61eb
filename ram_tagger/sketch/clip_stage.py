"""The first half of training `sketch`: its CLIP, which then teaches the tagger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram_tagger.config import ClipConfig
from ram_tagger.pixels import normalised
from ram_tagger.sketch.batches import Scenes
from ram_tagger.training.loop import Loop, Taken
from ram_tagger.training.processes import Processes
from ram_tagger.training.schedule import Schedule
from ram_tagger.training.triplets import Share, Triplets, holding

PICTURES = 128
"""In each step."""
SHARPEST = 4.6
"""Upper bound of CLIP's logarithmic temperature: exp(4.6) is about 100."""


class Contrastive(nn.Module):
    """CLIP's loss on scenes and captions (arXiv 2103.00020).

    A caption that holds for another picture of the batch is no negative of it.
    """

    def __init__(self, clip: nn.Module, config: ClipConfig) -> None:
        super().__init__()
        self.clip = clip
        self.config = config

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        """The loss of as many pictures as captions, each picture's own in its place."""
        clip = cast(Any, self.clip)
        pixels = normalised(batch.pixels, self.config.mean, self.config.std)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        images = clip.encode_image(pixels, normalize=True)
        texts = clip.encode_text(batch.texts, normalize=True)
        logits = (images @ texts.T).float() * clip.logit_scale.clamp(max=SHARPEST).exp()
        own = torch.eye(len(logits), dtype=torch.bool)
        logits = logits.masked_fill(holding(batch.stated, batch.true) & ~own, float("-inf"))
        right = torch.arange(len(logits))
        both = F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)
        return {"contrastive": both / 2}


@dataclass(frozen=True, slots=True)
class _Task:
    objective: Contrastive
    scenes: Scenes

    def pieces_from(self, step: int) -> Iterator[Sequence[Triplets]]:
        return self.scenes.steps_from(step, Share(PICTURES, PICTURES))


def train_clip(
    network: nn.Module,
    config: ClipConfig,
    schedule: Schedule,
    seed: int,
    simple: bool,
    report: Callable[[Taken], None],
) -> None:
    """Train a CLIP on scenes with one caption each, on the processor."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scenes = Scenes(config, seed, captions=1, simple=simple)
    task = _Task(Contrastive(network, config), scenes)
    for taken in Loop(task, schedule, seed, Processes(torch.device("cpu"))).steps():
        report(taken)
    network.eval()
