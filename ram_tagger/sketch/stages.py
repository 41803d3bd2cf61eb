"""The stages of training `sketch`: its CLIP, then the tagger from CLIP's image tower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram_tagger.clip import Clip
from ram_tagger.config import ModelConfig
from ram_tagger.labels import LabelBank
from ram_tagger.model import RamPlus
from ram_tagger.sketch.batches import SceneBatch, SceneBatches
from ram_tagger.sketch.descriptions import describe
from ram_tagger.sketch.vocabulary import tags
from ram_tagger.training.loop import Progress, Schedule, train
from ram_tagger.training.losses import alignment_loss, distillation_loss, tagging_loss

CLIP_BATCH, RAM_BATCH = 128, 64
WRONG = 32
"""Captions of a batch that are true of none of its pictures."""
WEIGHTS = {"tagging": 1 / RAM_BATCH, "distillation": 10.0, "alignment": 1 / RAM_BATCH}
"""The published losses are two sums and a mean; these bring them to one scale."""
SHARPEST = 4.6
"""Upper bound of CLIP's logarithmic temperature: exp(4.6) is about 100."""

Report = Callable[[Progress], None]


def train_clip(
    network: nn.Module,
    config: ModelConfig,
    schedule: Schedule,
    seed: int,
    simple: bool,
    report: Report,
) -> None:
    """Contrastive training on scenes and captions (CLIP, arXiv 2103.00020).

    A caption that holds for another picture of the batch is no negative of it.
    """
    clip = cast(Any, network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses_of(batch: SceneBatch) -> dict[str, Tensor]:
        images = clip.encode_image(normalised_pixels(batch, config), normalize=True)
        texts = clip.encode_text(batch.texts, normalize=True)
        logits = (images @ texts.T).float() * clip.logit_scale.clamp(max=SHARPEST).exp()
        logits = logits.masked_fill(batch.holds & ~batch.own, float("-inf"))
        right = torch.arange(len(logits))
        both = F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)
        return {"contrastive": both / 2}

    batches = SceneBatches(config.clip, seed, CLIP_BATCH, captions=1, simple=simple)
    train(network, batches.loader(), losses_of, schedule, report)


def begin_tagger(network: nn.Module, config: ModelConfig) -> RamPlus:
    """A fresh tagger whose backbone and projection are those of CLIP's image tower."""
    tagger = RamPlus(config.ram)
    visual = cast(Any, network).visual
    tagger.encoder.backbone.load_state_dict(visual.trunk.state_dict())
    tagger.encoder.image_proj.weight.data.copy_(visual.head.proj.weight)
    nn.init.zeros_(tagger.encoder.image_proj.bias)
    return tagger


def label_bank(clip: Clip) -> LabelBank:
    """Description embeddings of every tag."""
    described = [describe(name) for name in tags()]
    embeddings = clip.embed_text([text for texts in described for text in texts])
    return LabelBank(embeddings, torch.tensor([len(texts) for texts in described]))


def train_tagger(
    tagger: RamPlus, clip: Clip, config: ModelConfig, schedule: Schedule, seed: int, report: Report
) -> None:
    """RAM++ training with frozen CLIP and label embeddings (arXiv 2310.15200, section 3)."""
    bank = label_bank(clip)
    tagger.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses_of(batch: SceneBatch) -> dict[str, Tensor]:
        pixels = normalised_pixels(batch, config)
        with torch.no_grad():
            seen = F.normalize(cast(Any, clip.network).encode_image(pixels).float(), dim=-1)
            read = F.normalize(cast(Any, clip.network).encode_text(batch.texts).float(), dim=-1)
        tokens = tagger.encode(pixels)
        with torch.autocast(pixels.device.type, enabled=False):  # sharp softmaxes
            labels = tagger.reweight(tokens.float(), bank)
        losses = {
            "tagging": tagging_loss(tagger.decoder(labels, tokens).float(), batch.tags),
            "distillation": distillation_loss(tokens.float(), seen),
            "alignment": alignment_loss(tagger.align(tokens, read).float(), batch.own, batch.holds),
        }
        return {name: loss * WEIGHTS[name] for name, loss in losses.items()}

    batches = SceneBatches(config.clip, seed, RAM_BATCH, captions=2, wrong=WRONG)
    train(tagger, batches.loader(), losses_of, schedule, report)


def normalised_pixels(batch: SceneBatch, config: ModelConfig) -> Tensor:
    """(pictures, 3, size, size) float32 as both towers want it: they share mean and deviation."""
    mean = torch.tensor(config.ram.mean).view(3, 1, 1)
    deviation = torch.tensor(config.ram.std).view(3, 1, 1)
    pixels = (batch.pixels.float() / 255 - mean) / deviation  # B 3 H W
    return pixels.contiguous(memory_format=torch.channels_last)
