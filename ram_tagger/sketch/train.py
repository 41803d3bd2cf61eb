"""Train the bundled model: `python -m ram_tagger.sketch.train --out ram_tagger/sketch/model`."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ram_tagger.checkpoint import ModelParts, save_model_folder
from ram_tagger.clip import Clip, build_clip
from ram_tagger.config import ModelConfig
from ram_tagger.evaluation.metrics import best_thresholds, mean_average_precision
from ram_tagger.labels import LabelBank, LabelSet
from ram_tagger.model import RamPlus
from ram_tagger.pixels import ram_pixels
from ram_tagger.predict import fast_bf16
from ram_tagger.sketch.batches import tag_matrix
from ram_tagger.sketch.recipe import SIZE, sketch_config
from ram_tagger.sketch.scenes import make_scene, picture_at
from ram_tagger.sketch.stages import Report, begin_tagger, label_bank, train_clip, train_tagger
from ram_tagger.sketch.vocabulary import tags
from ram_tagger.training.loop import Progress, Schedule

STEPS = {"simple": 600, "full": 900, "tagger": 2000}
"""Batches of each stage: CLIP on simple scenes, CLIP on full ones, RAM++."""
VALIDATED = 2000
"""Scenes on which the thresholds are chosen."""


def train_sketch(out: Path, pace: float, seed: int, report: Report) -> None:
    """All stages, then the model folder; a `pace` below 1 takes only that part of the steps."""
    steps = {name: max(2, round(count * pace)) for name, count in STEPS.items()}
    validated = 100 * math.ceil(VALIDATED / 100 * min(1, pace))
    torch.manual_seed(seed)
    config = sketch_config()
    bf16 = fast_bf16(torch.device("cpu"))
    clip_network = build_clip(config.clip)
    simple = Schedule(steps["simple"], rate=2e-3, bf16=bf16)
    train_clip(clip_network, config, simple, seed + 1, True, report)
    full = Schedule(steps["full"], rate=1e-3, bf16=bf16)
    train_clip(clip_network, config, full, seed + 2, False, report)
    clip = Clip(config.clip, clip_network)
    tagger = begin_tagger(clip_network, config)
    last = Schedule(steps["tagger"], rate=2e-3, bf16=bf16)
    train_tagger(tagger, clip, config, last, seed + 3, report)
    save(out, config, tagger, clip_network, seed + 4, validated)


def save(
    out: Path, config: ModelConfig, tagger: RamPlus, clip: nn.Module, seed: int, validated: int
) -> None:
    """Choose the thresholds and write the model folder."""
    bank = label_bank(Clip(config.clip, clip))
    names = tags()
    limits = choose_thresholds(tagger, bank, seed, validated)
    labels = LabelSet(tuple(names), tuple(names.values()), limits)
    save_model_folder(out, ModelParts(config, tagger, clip, labels, bank), half=True)


@torch.inference_mode()
def choose_thresholds(tagger: RamPlus, bank: LabelBank, seed: int, count: int) -> tuple[float, ...]:
    """The threshold of each tag with the best F1 on scenes made for this alone."""
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng) for _ in range(count)]
    blocks = []
    for start in range(0, count, 100):
        pictures = [picture_at(scene, SIZE, rng) for scene in scenes[start : start + 100]]
        blocks.append(tagger(ram_pixels(pictures, tagger.config), bank).sigmoid().numpy())
    probabilities, truth = np.concatenate(blocks), tag_matrix(scenes, tuple(tags())).numpy()
    sys.stderr.write(f"validation mAP {mean_average_precision(probabilities, truth):.4f}\n")
    limits = best_thresholds(probabilities, truth).clip(0.2, 0.95)
    return tuple(round(float(limit), 3) for limit in limits)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train from scratch; progress goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m ram_tagger.sketch.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--pace", type=float, default=1.0, help="the part of the steps to take")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    start = time.monotonic()

    def report(progress: Progress) -> None:
        sys.stderr.write(f"{time.monotonic() - start:6.0f} s  {progress}\n")
        sys.stderr.flush()

    train_sketch(options.out, options.pace, options.seed, report)
    sys.stderr.write(f"written to {options.out} after {time.monotonic() - start:.0f} s\n")


if __name__ == "__main__":
    main()
