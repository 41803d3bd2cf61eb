"""A model folder of the published sizes with weights of chance, which are no slower or faster.

Swin-L at 384 pixels, 4,585 tags of 51 descriptions, OpenAI's CLIP ViT-B/16: 1.9 GB on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ram_tagger.checkpoint import ModelParts, save_model_folder
from ram_tagger.clip import build_clip
from ram_tagger.config import ClipConfig, ModelConfig, RamConfig
from ram_tagger.labels import LabelBank
from ram_tagger.model import RamPlus
from ram_tagger.pixels import ram_pixels
from ram_tagger.vocabulary import LabelSet

TAGS, DESCRIPTIONS = 4585, 51
TAGS_SHOWN = 20
"""Of a picture, above the floor: as many as real models say, so that as much is written."""


def full_size_model(folder: Path) -> Path:
    """The model folder inside `folder`, made if it is not there."""
    made = folder / "full-size-model"
    if (made / "config.json").exists():
        return made
    torch.manual_seed(0)
    config = ModelConfig("full-size", RamConfig(), ClipConfig(architecture="ViT-B-16-quickgelu"))
    names = tuple(f"tag {number}" for number in range(TAGS))
    labels = LabelSet(names, ("",) * TAGS, (0.5,) * TAGS)
    rows = F.normalize(torch.randn(TAGS * DESCRIPTIONS, config.ram.embedding_width), dim=-1)
    bank = LabelBank(rows, torch.full((TAGS,), DESCRIPTIONS))
    network = RamPlus(config.ram).eval()
    _tell_tags_apart(network, bank)
    save_model_folder(made, ModelParts(config, network, build_clip(config.clip), labels, bank))
    return made


def _pictures() -> Iterator[Image.Image]:
    """Patches of chance colours, from coarse to fine, bright and dark."""
    chance = np.random.default_rng(0)
    for patches in (2, 3, 5, 8, 16, 40) * 4:
        low, high = sorted(chance.integers(0, 256, 2))
        colours = chance.integers(low, high + 1, (patches, patches, 3), dtype=np.uint8)
        yield Image.fromarray(colours).resize((400, 400), chance.integers(0, 2))


@torch.inference_mode()
def _tell_tags_apart(network: RamPlus, bank: LabelBank) -> None:
    """Give the last layer weights by which some tags are probable, and not all or none.

    Hidden vectors of chance differ much from picture to picture and little from tag to tag: the
    direction in which tags differ most, and pictures do not, tells tags apart.
    """
    seen: list[Tensor] = []
    hook = network.decoder.fc.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.autocast("cpu", torch.bfloat16):
        tokens = [network.encode(ram_pixels([picture], network.config)) for picture in _pictures()]
    for one in tokens:
        network.score(one.float(), bank.chosen(range(0, TAGS, 5)))
    hook.remove()
    hidden = torch.cat(seen)  # pictures, tags, width
    pictures = torch.linalg.qr(hidden.mean(dim=1).T).Q  # width, pictures
    differences = (hidden - hidden.mean(dim=1, keepdim=True)).flatten(0, 1)
    differences -= differences @ pictures @ pictures.T
    direction = torch.pca_lowrank(differences, q=1)[2][:, 0]
    logits = hidden @ direction
    scale = 1.5 / logits.std(dim=1).mean()
    top = (scale * logits).topk(TAGS_SHOWN // 5, dim=1).values[:, -1].median()
    network.decoder.fc.weight.copy_(scale * direction[None])
    network.decoder.fc.bias.fill_(float(-2.2 - top))  # the floor of 0.1 as a logit
