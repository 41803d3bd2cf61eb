"""Benchmarks as users have them: drawn scenes in the original layout, and the published figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from written import write_benchmark

from ram_tagger.predict import RamTagger
from ram_tagger.sketch.trial import read_trial
from ram_tagger.sources import BUNDLED

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tagger() -> RamTagger:
    return RamTagger.load(BUNDLED, "cpu", "fp32")


@pytest.fixture(scope="session")
def trial():
    return read_trial(TESTS / "sketch" / "trial")


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, trial) -> Path:
    """A closed set: drawn scenes and the bundled model's own tags, one tag listed twice."""
    tags = (BUNDLED / "tags.txt").read_text(encoding="utf-8").split("\n")[:-1]
    folder = tmp_path_factory.mktemp("benchmarks") / "scenes_common"
    write_benchmark(folder, [*tags, "cat"], trial[0].tags, trial[1])
    return folder


@pytest.fixture(scope="session")
def rare(tmp_path_factory: pytest.TempPathFactory, trial) -> Path:
    """An open set: things that are no tags, with descriptions under names in capitals."""
    told = trial[0]
    folder = tmp_path_factory.mktemp("benchmarks") / "scenes_rare"
    write_benchmark(folder, list(told.concepts), told.shown, trial[1])
    described = [{name.title(): list(texts)} for name, texts in told.concepts.items()]
    path = folder / "scenes_rare_llm_tag_descriptions.json"
    path.write_text(json.dumps(described), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def published() -> dict[str, np.ndarray]:
    """What the original implementation computes on random figures."""
    with np.load(TESTS / "parity" / "losses_and_metrics.npz") as file:
        return dict(file)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A copy of the bundled model, to change."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "model"))
