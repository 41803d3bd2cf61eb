"""Train the bundled model anew, its CLIP included:
`python -m ram_tagger.sketch.train --out ram_tagger/sketch/model`.

The tagger alone, taught by the bundled CLIP, is `ram-tagger train sketch --out FOLDER`.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from photoindex.tagger import no_progress
from ram_tagger.clip import Clip, build_clip
from ram_tagger.predict import fast_bf16
from ram_tagger.sketch.clip_stage import train_clip
from ram_tagger.sketch.materials import VALIDATED, drawn_materials
from ram_tagger.sketch.recipe import sketch_config
from ram_tagger.training.loop import Taken
from ram_tagger.training.metrics_log import MetricsLog
from ram_tagger.training.processes import Processes
from ram_tagger.training.recipe import Recipe, read_recipe
from ram_tagger.training.run import Run
from ram_tagger.training.run_folder import RunFolder
from ram_tagger.training.schedule import Schedule

STEPS = {"simple": 600, "full": 900}
"""Batches of CLIP's two stages: on simple scenes, then on full ones."""
REPORT_EVERY = 50


def train_sketch(out: Path, pace: float, seed: int) -> None:
    """CLIP, then the tagger; a `pace` below 1 takes only that part of the steps."""
    torch.manual_seed(seed)
    clip = _trained_clip(pace, seed)
    recipe = _at_pace(replace(read_recipe("sketch"), seed=seed + 3), pace)
    validated = 100 * math.ceil(VALIDATED / 100 * min(1, pace))
    with TemporaryDirectory() as aside:
        folder = RunFolder(Path(aside))
        folder.begin(recipe)
        log = MetricsLog(folder, lambda row: _say(str(dict(row))))
        materials = drawn_materials(recipe, clip, validated)
        processes = Processes(torch.device("cpu"))
        Run(recipe, materials, folder, processes, log, no_progress).finish(threading.Event())
        shutil.copytree(folder.model, out, dirs_exist_ok=True)


def _trained_clip(pace: float, seed: int) -> Clip:
    config = sketch_config().clip
    network = build_clip(config)
    bf16 = fast_bf16(torch.device("cpu"))
    for number, (stage, rate) in enumerate({"simple": 2e-3, "full": 1e-3}.items(), 1):
        schedule = Schedule(max(2, round(STEPS[stage] * pace)), rate=rate, bf16=bf16)

        def report(taken: Taken, schedule: Schedule = schedule, stage: str = stage) -> None:
            if taken.step % REPORT_EVERY == 0 or taken.step == schedule.steps:
                loss = float(taken.losses["contrastive"])
                _say(f"CLIP, {stage} scenes  {taken.step}/{schedule.steps}  loss {loss:.4f}")

        train_clip(network, config, schedule, seed + number, stage == "simple", report)
    return Clip(config, network)


def _at_pace(recipe: Recipe, pace: float) -> Recipe:
    steps = max(2, round(recipe.schedule.steps * pace))
    return replace(recipe, schedule=replace(recipe.schedule, steps=steps))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


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
    train_sketch(options.out, options.pace, options.seed)
    _say(f"written to {options.out} after {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
