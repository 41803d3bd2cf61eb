"""Training by a recipe in a run folder, from the first step or from where it was left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photoindex.tagger import Progress
from ram_tagger.model_folder import CONFIG, load_config
from ram_tagger.predict import without_tf32
from ram_tagger.stopping import Stopping
from ram_tagger.training.materials import Materials
from ram_tagger.training.metrics_log import MetricsLog, Row
from ram_tagger.training.processes import Processes, joined_processes
from ram_tagger.training.recipe import Recipe
from ram_tagger.training.run import Outcome, Run
from ram_tagger.training.run_folder import RunFolder

Opener = Callable[[Recipe, Processes, Progress, Stopping], Materials]
"""Opens what a recipe names, in every process."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears of a run: only the leading process speaks."""

    listen: Callable[[Row], None]  # rows of metrics
    say: Callable[[str], None]  # remarks
    progress: Progress


def train(
    recipe: Recipe,
    out: Path,
    open_materials: Opener,
    device: str,
    stop: Stopping,
    audience: Audience,
) -> Outcome:
    """Train by a recipe; the same call again goes on where an earlier one was ended or killed.

    Under torchrun every process calls this. Raises RecipeError, CheckpointError.
    """
    folder = RunFolder(out)
    with joined_processes(device) as processes:
        without_tf32()
        processes.agreed(lambda: folder.begin(recipe))
        say = audience.say if processes.leads else _nothing
        log = MetricsLog(folder, audience.listen)
        materials = open_materials(recipe, processes, audience.progress, stop)
        run = Run(recipe, materials, folder, processes, log, audience.progress)
        if run.finished and (folder.model / CONFIG).is_file():
            say(f"{out} is finished already")
            return run.outcome(load_config(folder.model), True)
        if run.step:
            say(f"going on after step {run.step:,}")
        if processes.leads and recipe.output.tensorboard and not log.open_board(run.step):
            say('no TensorBoard log: it needs pip install "photoindex[train]"')
        try:
            return run.finish(stop)
        finally:
            log.close()


def _nothing(remark: str) -> None:
    """Said by a process that does not lead."""
