"""One training run from beginning to end: steps, reports, evaluations, checkpoints, the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from photoindex.tagger import Progress
from ram_tagger.checkpoint import ModelParts, save_model_folder
from ram_tagger.clip import Clip
from ram_tagger.config import ModelConfig
from ram_tagger.errors import Ended, RamTaggerError, RecipeError
from ram_tagger.evaluation.benchmark import Benchmark
from ram_tagger.evaluation.metrics import mean_average_precision
from ram_tagger.evaluation.scores import Scores, score_benchmark, vocabulary_rows
from ram_tagger.evaluation.thresholds import tune_thresholds
from ram_tagger.labels import LabelBank
from ram_tagger.model_folder import read_lines
from ram_tagger.predict import RamTagger, fast_bf16
from ram_tagger.stopping import Stopping
from ram_tagger.training.loop import Loop, Taken
from ram_tagger.training.materials import Materials
from ram_tagger.training.metrics_log import MetricsLog
from ram_tagger.training.objective import Known, Objective, Piece, Tagging
from ram_tagger.training.processes import Processes
from ram_tagger.training.recipe import Recipe
from ram_tagger.training.run_folder import RunFolder
from ram_tagger.training.teacher import Teacher
from ram_tagger.training.triplets import Share
from ram_tagger.vocabulary import LabelSet

LEAST_THRESHOLD, LARGEST_THRESHOLD = 0.2, 0.95
"""Between these a chosen threshold has to lie, however few pictures it was chosen on."""
STEPS = "training steps"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    finished: False where it was asked to stop before. leads: whether this process is the one that
    speaks and writes; the others have no model. figures: the last evaluation, mean average
    precision by benchmark.
    """

    step: int
    steps: int
    finished: bool
    leads: bool
    model: ModelConfig | None
    skipped: int
    figures: Mapping[str, float]


@dataclass(slots=True)
class Run:
    """A run in one of its processes."""

    recipe: Recipe
    materials: Materials
    folder: RunFolder
    processes: Processes
    log: MetricsLog
    progress: Progress
    _loop: Loop[Piece] = field(init=False)
    _task: Tagging = field(init=False)
    _figures: dict[str, float] = field(init=False, default_factory=dict)
    _skipped: set[str] = field(init=False, default_factory=set)
    _judged: Scores | None = field(init=False, default=None)  # of the last step

    def __post_init__(self) -> None:
        recipe, processes = self.recipe, self.processes
        for benchmark in self.materials.evaluations:
            _check_benchmark(benchmark, self.materials.model.labels)
        self._task = _task(recipe, self.materials, processes)
        bf16 = recipe.schedule.precision == "bf16" or (
            recipe.schedule.precision == "auto" and fast_bf16(processes.device)
        )
        schedule = recipe.schedule.schedule(self.materials.source.pictures, bf16)
        self._loop = Loop(self._task, schedule, recipe.seed, processes)
        self._skipped = self.folder.skipped()
        state = self.folder.newest()
        if state is not None:
            self._loop.restore(state)
            self.log.restore(state["log"])
        if processes.leads:
            self.folder.forget_after(self._loop.step)
        processes.wait()
        self._figures = self.folder.figures(self._loop.step)

    @property
    def step(self) -> int:
        """How many steps have been taken; more than 0 at first where a run goes on."""
        return self._loop.step

    @property
    def finished(self) -> bool:
        """Whether there is no step left to take."""
        return self._loop.step >= self._loop.schedule.steps

    def finish(self, stop: Stopping) -> Outcome:
        """Take the steps that are left, then write the model folder.

        Asked to stop, it keeps a checkpoint and ends. Every process takes part in all of it.
        """
        if not self._evaluated(stop):  # before the first step, or where a kill came in between
            return self.outcome(None, False)
        for taken in self._loop.steps():
            self._figures, self._judged = {}, None
            self._note(taken)
            ending = self._ending(stop)
            # First the checkpoint: an evaluation may take long, or fail.
            if ending or self._evaluates() or _due(taken.step, self.recipe.output.save_every):
                self._save(taken.step)
            if ending or not self._evaluated(stop):
                return self.outcome(None, False)
        return self._written(stop)

    def outcome(self, model: ModelConfig | None, finished: bool) -> Outcome:
        """How it stands, with the model that was written."""
        leads, steps = self.processes.leads, self._loop.schedule.steps
        figures = dict(self._figures)
        return Outcome(self.step, steps, finished, leads, model, len(self._skipped), figures)

    def _ending(self, stop: Stopping) -> bool:
        """Whether any process was asked to stop."""
        return self.processes.largest(int(stop.is_set())) > 0

    def _note(self, taken: Taken) -> None:
        self.log.add(taken)
        last = taken.step == self._loop.schedule.steps
        if last or _due(taken.step, self.recipe.output.report_every):
            self._note_skipped()
            row = self.log.row(taken, len(self._skipped), self._task.share.pictures)
            if self.processes.leads:
                self.log.write(row)
        self.progress(STEPS, taken.step, self._loop.schedule.steps)

    def _note_skipped(self) -> None:
        """Put down what any process skipped since this was asked last, each picture once."""
        found = self.processes.gather_all(self._task.skipped)
        self._task.skipped.clear()
        fresh = {skip.path: skip for skip in found if skip.path not in self._skipped}
        self._skipped |= set(fresh)
        if fresh and self.processes.leads:
            self.folder.skip(fresh.values())

    def _evaluates(self) -> bool:
        """Whether the model is to be measured as it is now."""
        if self.step == 0:  # what a model could do before
            return self.recipe.beginning.model is not None
        return self.finished or _due(self.step, self.recipe.output.evaluate_every)

    def _evaluated(self, stop: Stopping) -> bool:
        """Measure the model where that is due and not done yet; False if asked to stop."""
        if self._evaluates():
            self.processes.agreed(lambda: self._evaluate(stop))
        return not self._ending(stop)

    def _evaluate(self, stop: Stopping) -> None:
        for benchmark in self.materials.evaluations:
            if benchmark.name in self._figures:
                continue
            try:
                scores = self._scores(benchmark, stop)
            except Ended:
                return
            figure = mean_average_precision(scores.values, scores.truth)
            self._figures[benchmark.name] = figure
            self.log.write({"step": self.step, "evaluation": benchmark.name, "mAP": figure})
            if benchmark.name == self.recipe.output.thresholds_from:
                self._judged = scores

    def _scores(self, benchmark: Benchmark, stop: Stopping) -> Scores:
        model = self._model()
        clip = Clip(model.config.clip, model.clip)
        device = str(self.processes.device)
        tagger = RamTagger(
            model.config, model.network.eval(), clip, model.labels, model.bank, device, "fp32"
        )
        return score_benchmark(tagger, benchmark, self.progress, stop=stop)

    def _model(self) -> ModelParts:
        """The model as it is now; its label embeddings too, where they are trained."""
        objective = self._task.objective
        bank = LabelBank(objective.bank.embeddings.detach(), objective.counts)
        return replace(self.materials.model, network=objective.network, bank=bank)

    def _save(self, step: int) -> None:
        self._note_skipped()
        if self.processes.leads:
            state = {**self._loop.state(), "log": self.log.state()}
            self.folder.save(step, state, self.recipe.output.keep)
        self.processes.wait()

    def _written(self, stop: Stopping) -> Outcome:
        """Write the model folder; a checkpoint of the last step is kept already."""
        written: list[ModelConfig] = []
        self.processes.agreed(lambda: written.extend(self._write(stop)))
        ended = self._ending(stop) and not self.processes.largest(len(written))
        return self.outcome(written[0] if written else None, not ended)

    def _write(self, stop: Stopping) -> list[ModelConfig]:
        """The config of the model that was written; none if asked to stop."""
        model, source = self._model(), self.recipe.output.thresholds_from
        if source:
            (benchmark,) = (b for b in self.materials.evaluations if b.name == source)
            try:  # scored already, unless the last evaluation was before a kill
                scores = self._judged or self._scores(benchmark, stop)
            except Ended:
                return []
            model = replace(model, labels=with_thresholds(model.labels, scores))
        return [save_model_folder(self.folder.model, model, self.recipe.output.half)]


def with_thresholds(labels: LabelSet, scores: Scores) -> LabelSet:
    """A vocabulary with the thresholds of best F1 for every tag that some scored picture shows."""
    best = tune_thresholds(scores).clip(LEAST_THRESHOLD, LARGEST_THRESHOLD)
    shown = np.atleast_1d(scores.truth.any(axis=0))
    chosen = {
        name: float(limit)
        for name, limit, seen in zip(scores.tags, best, shown, strict=True)
        if seen
    }
    limits = zip(labels.names, labels.thresholds, strict=True)
    return replace(labels, thresholds=tuple(chosen.get(name, limit) for name, limit in limits))


def _check_benchmark(benchmark: Benchmark, labels: LabelSet) -> None:
    """What would end a run at its first evaluation ends it before its first step."""
    if not benchmark.concepts:
        try:
            vocabulary_rows(benchmark.tags, labels.names)
        except RamTaggerError as error:
            raise RecipeError(f"evaluation {benchmark.name}: {error}") from error
    if not any(not isinstance(p, Path) or p.is_file() for p in benchmark.pictures):
        raise RecipeError(
            f"evaluation {benchmark.name}: none of its pictures is there, the first is "
            f"{benchmark.pictures[0]}: correct its images"
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _task(recipe: Recipe, materials: Materials, processes: Processes) -> Tagging:
    schedule, model = recipe.schedule, materials.model
    if schedule.pictures % processes.size:
        raise RecipeError(
            f"schedule.pictures: {schedule.pictures} cannot be shared by {processes.size} processes"
        )
    if recipe.output.thresholds_from not in ("", *(b.name for b in materials.evaluations)):
        raise RecipeError(f"output.thresholds_from: no evaluation {recipe.output.thresholds_from}")
    network = model.network.to(memory_format=torch.channels_last)
    network.requires_grad_(True)
    if schedule.freeze_encoder:
        network.encoder.requires_grad_(False)
    if schedule.gradient_checkpointing:
        network.encoder.backbone.set_grad_checkpointing(True)
    bank = (
        model.bank.first(recipe.labels.descriptions) if recipe.labels.descriptions else model.bank
    )
    if recipe.labels.trained:
        bank = LabelBank(bank.embeddings.clone().requires_grad_(), bank.counts)
    known = _known(recipe, model, bank, processes)
    objective = Objective(network, bank, recipe.loss, schedule.fixed_statistics, known).to(
        processes.device
    )
    share = Share(schedule.pictures, schedule.at_once, processes.rank, processes.size)
    teacher = Teacher(Clip(model.config.clip, model.clip), processes.device)
    return Tagging(objective, materials.source, teacher, share, processes)


def _known(
    recipe: Recipe, model: ModelParts, bank: LabelBank, processes: Processes
) -> Known | None:
    if recipe.labels.annotated is None:
        return None
    told = {name.casefold() for name in read_lines(recipe.labels.annotated)}
    annotated = torch.tensor([name.casefold() in told for name in model.labels.names])
    if annotated.all():
        return None
    if not annotated.any():
        raise RecipeError("labels.annotated: names none of the model's tags")
    if recipe.beginning.model is None:
        raise RecipeError("labels.annotated: a fresh model has no opinion to keep of other tags")
    network = model.network.to(processes.device)
    return Known(network, bank.to(processes.device, torch.float32), annotated)
