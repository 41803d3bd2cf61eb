"""What a search asks of a model, in processes that have just started, by the scorer and by torch.

Opening counts from a process that has imported NumPy alone to a model that can be asked: all other
imports are part of it. Files are in the system's cache, as after any earlier search.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Bench, Figure

from ram_tagger.sources import BUNDLED

PART = "scorer"
PHOTOS = 300  # as one search scores: 200 candidates and 100 that tell what is usual
ROUNDS = 7
BASELINE = "the whole tagger"
STEPS = {
    "opening, vocabulary included": "open",
    "embedding a text (6 prompts)": "text",
    f"scoring {PHOTOS} photos": "score",
    "all of these": "search",
    f"scoring {PHOTOS} photos again": "again",
}
_PROCESS = """
import json, sys, time
from pathlib import Path
import numpy as np
way, folder, photos = sys.argv[1], sys.argv[2], int(sys.argv[3])
times, last = {}, time.perf_counter()
def lap(name):
    global last
    times[name], last = time.perf_counter() - last, time.perf_counter()
from photoindex.analysis.installed import InstalledModels
from photoindex.tagger import Concept, ImageTokens, StoredPhotos
models = InstalledModels(Path(folder).parent, "cpu")
if way == "scorer":
    card = models.describe(folder)
    lap("describe")
    model = models.scorer(folder)
    lap("open")
    times["open"] += times["describe"]
else:
    card = model = models.load(folder)
    lap("open")
labels = model.embed_labels([Concept("tabby cat on roof")])
lap("text")
numbers = np.random.default_rng(0)
width, tokens = card.embedding_size, 145
values = numbers.integers(-127, 128, (photos, tokens, width), dtype=np.int8)
scales = numbers.random((photos, tokens), dtype=np.float32) / 50
block = StoredPhotos(np.zeros((photos, width), np.float32), ImageTokens(values, scales))
last = time.perf_counter()
model.score(labels, [block])
lap("score")
model.score(labels, [block])
lap("again")
times["search"] = times["open"] + times["text"] + times["score"]
print(json.dumps(times))
"""


def measure(bench: Bench) -> Iterator[Figure]:
    """The steps of a cold search, each beside the same step on the loaded network."""
    model = bench.model or BUNDLED
    found, plain = _medians("scorer", model), _medians("load", model)
    yield Figure(PART, "the vocabulary alone", found["describe"], "s", plain["open"], BASELINE)
    for what, step in STEPS.items():
        wanted = "0.25 s at most" if step == "search" and bench.model else ""
        yield Figure(PART, what, found[step], "s", plain[step], BASELINE, wanted)


def _medians(way: str, model: Path) -> dict[str, float]:
    """Seconds of each step in processes of their own, the first of which warms the cache."""
    runs = [_run(way, model) for _ in range(ROUNDS + 1)][1:]
    return {step: statistics.median(run[step] for run in runs) for step in runs[0]}


def _run(way: str, model: Path) -> dict[str, float]:
    arguments = [sys.executable, "-c", _PROCESS, way, str(model), str(PHOTOS)]
    done = subprocess.run(arguments, capture_output=True, check=True, encoding="utf-8")
    times: dict[str, float] = json.loads(done.stdout)
    return times
