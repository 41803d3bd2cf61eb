"""Installed models: what is here is not fetched again."""

from __future__ import annotations

import shutil
from pathlib import Path

from photoindex.analysis.installed import InstalledModels
from photoindex.config import DEFAULT_MODEL
from photoindex.tagger import no_progress
from ram_tagger.sources import BUNDLED


def test_a_model_that_is_here_is_not_pulled_again(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / DEFAULT_MODEL)
    told: list[str] = []
    folder = InstalledModels(tmp_path).pull(DEFAULT_MODEL, lambda what, *_: told.append(what))
    assert folder == tmp_path / DEFAULT_MODEL
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == [DEFAULT_MODEL]


def test_a_bundled_model_needs_no_pull(tmp_path: Path) -> None:
    assert InstalledModels(tmp_path).pull("sketch", no_progress) == BUNDLED
