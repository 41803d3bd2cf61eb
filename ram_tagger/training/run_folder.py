"""The folder of a training run: its recipe, checkpoints, metrics, skipped pictures, the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ram_tagger.errors import RecipeError
from ram_tagger.training.recipe import Data, Output, Recipe
from ram_tagger.training.triplets import Skipped
from ram_tagger.writing import written_whole

RECIPE, METRICS, SKIPPED = "recipe.json", "metrics.jsonl", "skipped.tsv"
CHECKPOINTS, TENSORBOARD, MODEL = "checkpoints", "tensorboard", "model"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run. What a killed run left is whole: every file is written aside or line by line."""

    path: Path

    @property
    def model(self) -> Path:
        """Where the trained model goes."""
        return self.path / MODEL

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / TENSORBOARD

    def begin(self, recipe: Recipe) -> None:
        """Claim the folder for a recipe, or find it claimed by the same one.

        What changes no result may differ: workers, and how often something is written or kept.
        Raises RecipeError where another recipe, or something else, is there.
        """
        kept = self.path / RECIPE
        try:
            if not kept.exists():
                if self.path.exists() and any(self.path.iterdir()):
                    raise RecipeError(f"{self.path} holds other things: name a new folder")
                self.path.mkdir(parents=True, exist_ok=True)
                _replace(kept, json.dumps(recipe.to_json(), indent=1, ensure_ascii=False) + "\n")
                return
            earlier = Recipe.from_json(json.loads(kept.read_text(encoding="utf-8")), str(kept))
        except (OSError, ValueError) as error:
            raise RecipeError(f"cannot use {self.path}: {error}; name another folder") from error
        differing = _differences(_essence(earlier).to_json(), _essence(recipe).to_json())
        if differing:
            raise RecipeError(
                f"{self.path} holds a run of another recipe ({', '.join(differing)} differ): "
                "name another folder, or give the same recipe to go on"
            )

    def save(self, step: int, state: Mapping[str, Any], keep: int) -> None:
        """Keep a checkpoint, and only the newest few."""
        folder = self.path / CHECKPOINTS
        folder.mkdir(exist_ok=True)
        final = folder / f"step-{step:08}.pt"
        for left in folder.glob(".step-*"):  # half a checkpoint of a run that was killed
            left.unlink()
        with written_whole(final) as file:
            torch.save(dict(state), file)
        for old in self._checkpoints()[: -max(1, keep)]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest checkpoint, None before there is one.

        In main memory: what belongs on another device, the optimizer and the network take there.
        """
        found = self._checkpoints()
        if not found:
            return None
        state = torch.load(found[-1], map_location="cpu", weights_only=True)
        return dict(state)

    def forget_after(self, step: int) -> None:
        """Take out metrics of steps that a continued run takes again."""
        rows = [row for row in self.metrics() if row["step"] <= step]
        if rows:
            _replace(self.path / METRICS, "".join(f"{json.dumps(row)}\n" for row in rows))
        else:
            (self.path / METRICS).unlink(missing_ok=True)

    def metrics(self) -> Iterator[dict[str, Any]]:
        """What was measured, row by row; a row that was cut off by a kill is left out."""
        try:
            lines = _whole_lines(self.path / METRICS)
        except FileNotFoundError:
            return
        yield from map(json.loads, lines)

    def figures(self, step: int) -> dict[str, float]:
        """The evaluations of a step, by benchmark."""
        rows = (row for row in self.metrics() if row["step"] == step and "evaluation" in row)
        return {row["evaluation"]: row["mAP"] for row in rows}

    def measured(self, row: Mapping[str, Any]) -> None:
        """Append a row of metrics."""
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def skipped(self) -> set[str]:
        """Pictures that were skipped so far; a line that was cut off by a kill is left out."""
        lines = self._skipped_lines()
        return {json.loads(line.partition("\t")[0]) for line in lines if line.endswith("\n")}

    def skip(self, skips: Iterable[Skipped]) -> None:
        """Note pictures that could not be read, and why."""
        *whole, last = self._skipped_lines() or [""]
        if last and not last.endswith("\n"):
            _replace(self.path / SKIPPED, "".join(whole))
        with (self.path / SKIPPED).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(s.path)}\t{json.dumps(s.reason)}\n" for s in skips)

    def _skipped_lines(self) -> list[str]:
        try:
            return (self.path / SKIPPED).read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []

    def _checkpoints(self) -> list[Path]:
        return sorted((self.path / CHECKPOINTS).glob("step-*.pt"))


def _essence(recipe: Recipe) -> Recipe:
    """A recipe without what changes no result."""
    output, data = recipe.output, recipe.data
    return replace(
        recipe,
        data=replace(data, workers=Data().workers, clip_cache=None),
        output=replace(Output(), half=output.half, thresholds_from=output.thresholds_from),
    )


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], within: str = "") -> list[str]:
    names: list[str] = []
    for key in a:
        if isinstance(a[key], dict) and isinstance(b[key], dict):
            names += _differences(a[key], b[key], f"{within}{key}.")
        elif a[key] != b[key]:
            names.append(within + key)
    return names


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file without the last one if a kill cut it off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _replace(path: Path, text: str) -> None:
    with written_whole(path) as file:
        file.write(text.encode("utf-8"))
