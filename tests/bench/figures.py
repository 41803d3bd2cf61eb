"""What a benchmark gives: figures, each beside the baseline that the same run measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    baseline: the same quantity, in the same unit, done the plain way that `against` names; wanted:
    the bound that the project sets itself, in words, empty where it sets none.
    """

    part: str
    what: str
    value: float
    unit: str
    baseline: float | None = None
    against: str = ""
    wanted: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over baseline."""
        return None if not self.baseline else self.value / self.baseline


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: where files may be made, the largest library, a full-size model folder.

    device: where networks run, as torch names it.
    """

    folder: Path
    photos: int = 1_000_000
    model: Path | None = None
    log: Callable[[str], None] = field(default=lambda line: None)
    device: str = "cpu"


def median_seconds(work: Callable[[], object], rounds: int = 9, warm: int = 1) -> float:
    """The median time of `work`, after some calls that do not count."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
