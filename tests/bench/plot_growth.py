"""The plot of growth in docs/performance.md, from what the parts catalog and vectors measured.

python tests/bench/run.py --json catalog vectors > figures.json
python tests/bench/plot_growth.py figures.json docs/growth.svg
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

PANELS = {
    "recording, photos a second": {
        "4 at once": "catalog: recording 4 photos at once",
        "32 at once": "catalog: recording 32 photos at once",
    },
    "on disk, bytes a photo": {
        "catalog": "catalog: bytes a photo",
        "vector index": "vectors: file",
    },
    "opening, ms": {
        "catalog": "catalog: opening",
        "vector index": "vectors: cold open",
    },
    "questions, ms": {
        "the two commonest tags": "catalog: the two commonest tags",
        "the newest 20": "catalog: the newest 20",
        "text, by similarity": "vectors: text",
    },
}
"""Title, then the lines by name. Each is read from the figures of one part and name."""
_SIZED = re.compile(r"(.+), ([0-9,]+) photos")


def main() -> None:
    """Read the figures, write the plot."""
    source, target = map(Path, sys.argv[1:3])
    lines = _lines(json.loads(source.read_text(encoding="utf-8")))
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for panel, (title, names) in zip(axes.flat, PANELS.items(), strict=True):
        _draw(panel, title, {name: lines[key] for name, key in names.items()})
    figure.supxlabel("photos in the library")
    figure.savefig(target, metadata={"Date": None})


def _lines(figures: list[dict[str, object]]) -> dict[str, dict[int, float]]:
    """Part and name, then value by size of library."""
    found: dict[str, dict[int, float]] = {}
    for figure in figures:
        part, what, value = str(figure["part"]), str(figure["what"]), float(str(figure["value"]))
        if part.startswith("vectors "):
            size = part.removeprefix("vectors ")
            found.setdefault(f"vectors: {what}", {})[_number(size)] = value
        elif sized := _SIZED.fullmatch(what):
            found.setdefault(f"{part}: {sized[1]}", {})[_number(sized[2])] = value
    return found


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _draw(panel: Axes, title: str, lines: dict[str, dict[int, float]]) -> None:
    for name, line in lines.items():
        panel.plot(list(line), list(line.values()), marker="o", label=name)
    panel.set_title(title)
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend()


if __name__ == "__main__":
    main()
