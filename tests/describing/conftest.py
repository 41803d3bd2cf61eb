"""A language model to ask, and the command that asks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from describe_command import Describe
from language_model import LanguageModel


@pytest.fixture
def model() -> Iterator[LanguageModel]:
    with LanguageModel.serving() as model:
        yield model


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own endpoint and key play no part; a command runs in the test's folder."""
    for name in [name for name in os.environ if name.startswith(("RAM_TAGGER_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def describe(
    model: LanguageModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Describe:
    return Describe(model, capsys, monkeypatch)
