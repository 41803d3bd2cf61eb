"""From Enter to the first line of a search: processes of their own, files in the system's cache.

The baseline is what the process costs that searches with torch: the model's whole network, loaded
for each search; for help, Python itself.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import stored_library
from figures import Bench, Figure

import photoindex.demo
from photoindex.analysis.installed import InstalledModels
from photoindex.catalog.catalog import Catalog
from photoindex.lending.address import SOCKET
from photoindex.library import CATALOG

PART = "cold start"
PROGRAM = Path(sys.executable).with_name("photoindex")
PICTURES = Path(photoindex.demo.__file__).parent / "pictures"
MANY, SCORED = 100_000, 1_000
"""Photos of the two libraries: one of many with few tokens, one whose tokens can be scored."""
ROUNDS = 9
TEXT = ("a", "tabby", "cat", "on", "the", "roof")
FILTERS = {
    "tags and a date": ("tag:tag 0005", "-tag:tag 0003", "after:2006"),
    "a date": ("after:2006", "before:2007"),
}
_BY_TORCH = """
import sys
from pathlib import Path
from photoindex import Library, SearchOptions, Settings
from photoindex.search.rank import Rank
with Library.open(Settings(library=Path(sys.argv[1])), create=False) as library:
    library._models.for_stored_photos().embed_text(["a"])  # opens the network, which then searches
    options = SearchOptions(rank=Rank(sys.argv[3]), everything=True)
    found = library.search(sys.argv[2], options)
print(len(found.hits), flush=True)
"""


def measure(bench: Bench) -> Iterator[Figure]:
    """Python, help, filters and free text, each alone and beside a process that lends."""
    many, scored = _libraries(bench)
    python = _first_line([sys.executable, "-c", "print()"])
    yield Figure(PART, "python", python, "s")
    yield Figure(PART, "photoindex --help", _first_line([PROGRAM, "--help"]), "s", python, "python")
    count = f"{min(MANY, bench.photos):,} photos"
    torch = _first_line([sys.executable, "-c", "import torch; print()"])
    for what, words in FILTERS.items():
        seconds = _searched(many, words)
        what = f"filters: {what}, {count}"
        yield Figure(PART, what, seconds, "s", torch, "importing torch", "<= 0.35 s")
    if bench.model is not None:
        yield from _free_text(many, "clip", f"by similarity, {count}")
    yield from _free_text(scored, "fused", "200 photos re-scored")


def _free_text(library: Path, rank: str, what: str) -> Iterator[Figure]:
    """Alone, and beside a process that lends."""
    by_torch = [sys.executable, "-c", _BY_TORCH, library, " ".join(TEXT), rank]
    torch = _first_line(by_torch, 3)
    words = (*TEXT, "--all", "--rank", rank)
    for how, wanted in (("alone", "<= 0.65 s"), ("beside serve", "<= 0.15 s")):
        with _lent(library, words) if how != "alone" else nullcontext():
            seconds = _searched(library, words)
        yield Figure(PART, f"free text {how}, {what}", seconds, "s", torch, "by torch", wanted)


def _libraries(bench: Bench) -> tuple[Path, Path]:
    """Stored photos of the full-size model; without one, of the bundled model, and pictures."""
    if bench.model is None:
        return _stored(bench, "sketch", MANY, stored_library.SMALL), _drawn(bench)
    name = str(bench.model)
    return (
        _stored(bench, name, MANY, stored_library.SMALL),
        _stored(bench, name, SCORED, stored_library.FULL),
    )


def _stored(bench: Bench, model: str, photos: int, tokens: tuple[int, int]) -> Path:
    """A library that says that a model has looked at photos; it is found again by its name."""
    photos = min(photos, bench.photos)
    library = bench.folder / f"cold-start-{Path(model).name}-{photos}-{tokens[0]}"
    library.mkdir(mode=0o700, exist_ok=True)
    card = InstalledModels(bench.folder).describe(model)
    with Catalog.open(library / CATALOG) as catalog:
        catalog.models.register(
            card.model_id, model, stored_library.WIDTH, stored_library.vocabulary()
        )
        catalog.models.activate(card.model_id)
        there = catalog.analyses.state(card.model_id).count
        for block in stored_library.analyses(there, photos, tokens):
            catalog.analyses.record(block, card.model_id)
    return library


def _drawn(bench: Bench) -> Path:
    """The bundled pictures, indexed by the bundled model."""
    library = bench.folder / "cold-start-pictures"
    command = [PROGRAM, "--library", library, "index", PICTURES, "--model", "sketch"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def _searched(library: Path, words: Sequence[str]) -> float:
    return _first_line([PROGRAM, "--library", library, "search", *words])


def _first_line(command: Sequence[str | Path], rounds: int = ROUNDS) -> float:
    """Seconds, the median, until a process has written its first line; the first does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            times.append(time.perf_counter() - start)
            _, err = process.communicate()
        assert line, err.decode()
    return statistics.median(times[1:])


@contextmanager
def _lent(library: Path, words: Sequence[str]) -> Iterator[None]:
    """`photoindex serve`, warm as it is after a search."""
    with subprocess.Popen(
        [PROGRAM, "--library", library, "serve"], stderr=subprocess.DEVNULL
    ) as serving:
        while not (library / SOCKET).exists():
            time.sleep(0.05)
        _searched(library, words)
        try:
            yield
        finally:
            serving.terminate()
