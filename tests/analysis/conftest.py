"""A folder of pictures that a test may change, and a library of its own for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoindex import Library, Settings

PICTURES = Path(__file__).parents[2] / "photoindex" / "demo" / "pictures"


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own settings play no part."""
    for name in [name for name in os.environ if name.startswith("PHOTOINDEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight bundled pictures of a zoo."""
    return Path(shutil.copytree(PICTURES / "zoo", tmp_path / "photos"))


@pytest.fixture
def open_library(tmp_path: Path) -> Callable[..., Library]:
    """Opens the test's library, each time anew, with the bundled model unless another is named."""

    def opened(model: str | None = "sketch", **options: object) -> Library:
        settings = Settings(
            library=tmp_path / "library", models=tmp_path / "models", model=model, **options
        )
        return Library.open(settings)

    return opened


@pytest.fixture
def library(open_library: Callable[..., Library]) -> Iterator[Library]:
    """The test's library."""
    with open_library() as opened:
        yield opened
