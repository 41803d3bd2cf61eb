"""Training in this process, or by the installed command in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from photoindex.tagger import no_progress
from ram_tagger.training.materials import read_materials
from ram_tagger.training.recipe import Recipe
from ram_tagger.training.run import Outcome
from ram_tagger.training.train import Audience, train

COMMAND = Path(sys.executable).with_name("ram-tagger")


@dataclass
class Heard:
    """What a run in this process said."""

    outcome: Outcome | None = None
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def run_here(recipe: Recipe, out: Path, until: int | None = None, fill: bool = False) -> Heard:
    """Train in this process; asked to stop after so many steps."""
    heard, stop = Heard(), threading.Event()

    def listen(row: Mapping[str, Any]) -> None:
        heard.rows.append(row)
        if until is not None and row["step"] >= until:
            stop.set()

    heard.outcome = train(
        recipe,
        out,
        partial(read_materials, fill=fill),
        "cpu",
        stop,
        Audience(listen, heard.remarks.append, no_progress),
    )
    return heard


def losses(out: Path) -> dict[int, dict[str, float]]:
    """The losses of every step that a run folder tells of; each step once."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row]
    names = ("loss", "tagging", "distillation", "alignment", "gradient")
    assert len({row["step"] for row in rows}) == len(rows)
    return {row["step"]: {n: row[n] for n in names if n in row} for row in rows}


def start(*arguments: str | Path, program: tuple[str | Path, ...] = (COMMAND,)) -> Any:
    """The installed command in a process of its own, on one thread."""
    return subprocess.Popen(
        [*program, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(recipe: Recipe, path: Path) -> Path:
    """The recipe as a file that `ram-tagger train` reads."""
    path.write_text(json.dumps(recipe.to_json()), encoding="utf-8")
    return path
