"""Stand-ins for published files (by `tests/parity/recipe.py`) and for a trained small model."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from photoindex.tagger import Concept
from ram_tagger.checkpoint import ModelParts, save_model_folder
from ram_tagger.clip import Clip, build_clip
from ram_tagger.config import ClipConfig, ModelConfig, RamConfig
from ram_tagger.model import RamPlus
from ram_tagger.openset import bank_of, embed_concepts
from ram_tagger.vocabulary import LabelSet

PARITY = Path(__file__).parents[1] / "parity"
SEED = 7


def read_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_recipe", PARITY / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Parity:
    """What the original implementations compute on the recipe's checkpoints and pictures."""

    recipe: ModuleType

    def figures(self, name: str) -> dict[str, NDArray[Any]]:
        with np.load(PARITY / f"{name}.seed{SEED}.npz") as file:
            return dict(file)

    def json(self, name: str) -> Any:
        return json.loads((PARITY / name).read_text(encoding="utf-8"))

    def weights(self, name: str) -> dict[str, Tensor]:
        values = self.recipe.state_dict(PARITY / f"{name}.json", SEED)
        return {key: torch.from_numpy(np.array(value)) for key, value in values.items()}

    def pictures(self, numbers: NDArray[np.int64]) -> list[Image.Image]:
        return [self.recipe.picture(int(number)) for number in numbers]


def write_tag_lists(folder: Path, thresholds: NDArray[np.float32]) -> None:
    numbers = range(len(thresholds))
    for name, lines in (
        ("ram_tag_list.txt", [f"tag{n}" for n in numbers]),
        ("ram_tag_list_chinese.txt", [f"标签{n}" for n in numbers]),
        ("ram_tag_list_threshold.txt", [f"{value:.2f}" for value in thresholds]),
    ):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


SMALL_TAGS = {
    "cat": ("猫", ["a cat", "a tabby cat on a roof", "whiskers"]),
    "dog": ("狗", ["a dog"]),
    "red car": ("红色汽车", ["a red car", "a small car that is red"]),
    "sky": ("天空", ["the sky", "blue above", "clouds above", "a wide sky"]),
}


def small_config() -> ModelConfig:
    ram = RamConfig(
        backbone="sketch_resnet",
        image_size=96,
        embedding_width=64,
        hidden_width=96,
        feed_forward_width=128,
    )
    clip = ClipConfig(
        architecture=None,
        embedding_width=64,
        image_size=96,
        context_length=24,
        token_ids=tuple(range(300, 3000)),
        vision={"timm_model_name": "sketch_resnet", "timm_pool": "avg", "timm_proj": "linear"},
        text={"width": 64, "heads": 2, "layers": 1},
    )
    return ModelConfig("small", ram, clip)


def write_small_model(folder: Path, half: bool = False) -> ModelConfig:
    """A model folder of the bundled model's kind, its weights random but always the same."""
    config = small_config()
    torch.manual_seed(SEED)
    network, clip = RamPlus(config.ram), build_clip(config.clip)
    # A random decoder hardly tells labels apart; a trained one does.
    with torch.no_grad():
        network.decoder.wordvec_proj.weight.mul_(30)
        network.decoder.fc.weight.mul_(4)
    described = [Concept(name, tuple(texts)) for name, (_, texts) in SMALL_TAGS.items()]
    bank = bank_of(embed_concepts(Clip(config.clip, clip), described))
    names_zh = tuple(chinese for chinese, _ in SMALL_TAGS.values())
    labels = LabelSet(tuple(SMALL_TAGS), names_zh, (0.0, 0.0, 0.0, 1.0))
    return save_model_folder(folder, ModelParts(config, network, clip, labels, bank), half)
