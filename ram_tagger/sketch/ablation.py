"""What each part of RAM++'s training is worth, on drawn scenes:
`python -m ram_tagger.sketch.ablation --out FOLDER`.

The same model is trained several times, each time with one part left out, on the same scenes from
the same seed for the same number of steps. Each run can be stopped and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import torch

from photoindex.tagger import Concept, no_progress
from ram_tagger.evaluation.benchmark import Benchmark
from ram_tagger.evaluation.metrics import mean_average_precision
from ram_tagger.evaluation.scores import score_benchmark
from ram_tagger.model_folder import CONFIG
from ram_tagger.predict import RamTagger
from ram_tagger.sketch.materials import drawn_materials, held_out_benchmark, tag_benchmark
from ram_tagger.sketch.trial import make_trial
from ram_tagger.training.metrics_log import MetricsLog
from ram_tagger.training.processes import Processes
from ram_tagger.training.recipe import Recipe, read_recipe
from ram_tagger.training.run import Run
from ram_tagger.training.run_folder import RunFolder

STEPS = 1000
"""Half of what the bundled model took."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Mean average precision on the trial's scenes."""

    closed_set: float  # all tags
    open_set: float  # held-out concepts by all their descriptions
    open_set_one: float  # held-out concepts by their first description alone


def variants(recipe: Recipe) -> Mapping[str, Recipe]:
    """The recipe, and what becomes of it when one part is left out."""
    return {
        "all three losses": recipe,
        "without alignment": replace(recipe, loss=replace(recipe.loss, alignment=0.0)),
        "without distillation": replace(recipe, loss=replace(recipe.loss, distillation=0.0)),
        "one description a tag": replace(recipe, labels=replace(recipe.labels, descriptions=1)),
    }


def trained(recipe: Recipe, folder: Path) -> RamTagger:
    """A variant's model, trained as far as it is not yet."""
    run = RunFolder(folder)
    run.begin(recipe)
    if not (run.model / CONFIG).is_file():
        log = MetricsLog(run, lambda row: _say(json.dumps({"run": folder.name, **row})))
        processes = Processes(torch.device("cpu"))
        materials = drawn_materials(recipe)
        Run(recipe, materials, run, processes, log, no_progress).finish(threading.Event())
    return RamTagger.load(run.model, device="cpu", precision="fp32")


def figures_of(tagger: RamTagger) -> Figures:
    """Measure a model on the trial."""
    trial, pictures = make_trial()
    held_out = held_out_benchmark(trial, pictures)
    first = tuple(Concept(c.name, c.descriptions[:1]) for c in held_out.concepts)
    return Figures(
        _figure(tagger, tag_benchmark(trial, pictures)),
        _figure(tagger, held_out),
        _figure(tagger, replace(held_out, concepts=first)),
    )


def table(figures: Mapping[str, Sequence[Figures]]) -> str:
    """Means over the seeds, and in brackets the smallest and the largest."""
    lines = [
        "| trained | closed set | open set | open set, one description |",
        "| --- | --- | --- | --- |",
    ]
    for name, found in figures.items():
        columns = zip(*(asdict(f).values() for f in found), strict=True)
        cells = [f"{mean(c):.3f} ({min(c):.3f}–{max(c):.3f})" for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(tagger: RamTagger, benchmark: Benchmark) -> float:
    scores = score_benchmark(tagger, benchmark)
    return mean_average_precision(scores.values, scores.truth)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train every variant with every seed and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m ram_tagger.sketch.ablation", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    base = read_recipe("sketch")
    base = replace(
        base,
        schedule=replace(base.schedule, steps=options.steps),
        output=replace(base.output, evaluate_every=0, thresholds_from=""),
    )
    figures: dict[str, list[Figures]] = {}
    for seed in options.seeds:
        for name, recipe in variants(replace(base, seed=seed)).items():
            folder = options.out / f"{name.replace(' ', '-')}-{seed}"
            figures.setdefault(name, []).append(figures_of(trained(recipe, folder)))
            _say(f"{name}, seed {seed}: {figures[name][-1]}")
    sys.stdout.write(table(figures) + "\n")


if __name__ == "__main__":
    main()
