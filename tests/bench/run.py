"""`make bench`: measure every part, or the named ones, and print what was found as one table.

python tests/bench/run.py                          every part, with the bundled model
python tests/bench/run.py --full-size scorer       one part, with a model of published size
python tests/bench/run.py --photos 100000 catalog vectors
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import Bench, Figure
from full_size_model import full_size_model

from photoindex.terminal.tables import Column, print_table

HERE = Path(__file__).parent
COLUMNS = (
    Column("part"),
    Column("what"),
    Column("measured", right=True),
    Column("ratio", right=True),
    Column("baseline"),
    Column("wanted"),
)
PARTS = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))


def main() -> None:
    """Measure, part by part, and print."""
    asked = _arguments()
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="photoindex-bench-") as aside:
        folder = asked.folder or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        model = full_size_model(folder) if asked.full_size else asked.model
        bench = Bench(folder, asked.photos, model, _say, asked.device)
        for part in asked.parts or PARTS:
            for figure in _measured(part, bench):
                figures.append(figure)
                _say(f"{figure.part}: {figure.what}: {_number(figure.value)} {figure.unit}")
    if asked.json:
        print(json.dumps([asdict(f) | {"ratio": f.ratio} for f in figures], indent=1))  # noqa: T201
    else:
        _print(figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--full-size", action="store_true", help="make a model of full size (2 GB)")
    parser.add_argument("--model", type=Path, help="a model folder of full size that is there")
    parser.add_argument("--photos", type=int, default=1_000_000, help="of the largest library")
    parser.add_argument("--folder", type=Path, help="where to make files, and to find them again")
    parser.add_argument("--device", default="cpu", help="for tagging and rescoring: cuda, say")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}: there are {', '.join(PARTS)}")
    return asked


def _measured(part: str, bench: Bench) -> Iterator[Figure]:
    start = time.perf_counter()
    yield from importlib.import_module(f"bench_{part}").measure(bench)
    _say(f"{part} took {time.perf_counter() - start:.0f} s")


def _print(figures: list[Figure]) -> None:
    rows = [
        (
            figure.part,
            figure.what,
            f"{_number(figure.value)} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f} x",
            "" if figure.baseline is None else f"{_number(figure.baseline)} ({figure.against})",
            figure.wanted,
        )
        for figure in figures
    ]
    print_table(COLUMNS, rows)
    print(f"{_processor()}, Python {platform.python_version()}")  # noqa: T201


def _processor() -> str:
    """The processor and how many of its cores are ours."""
    import os

    cores = len(os.sched_getaffinity(0))
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {cores} cores"


def _number(value: float) -> str:
    if value == 0 or 0.01 <= abs(value) < 10_000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.2g}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
