"""A real library of the bundled pictures, and the command line on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typed import BUNDLED, ODD_NAME, TRUTH, Command


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine's own settings, models and libraries play no part."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PHOTOINDEX_")]:
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("COLUMNS", "80")
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled pictures, a copy of one, a broken one and one whose name is no UTF-8."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copytree(BUNDLED / "pictures", folder, dirs_exist_ok=True)
    shutil.copy(folder / "zoo/lions.jpg", folder / "zoo/lions again.jpg")
    (folder / "broken.jpg").write_bytes((folder / "zoo/lions.jpg").read_bytes()[:900])
    Image.new("RGB", (64, 48), "white").save(folder / ODD_NAME)
    return folder


@pytest.fixture(scope="session")
def truth() -> dict[str, set[str]]:
    """What each bundled picture shows: file → tags."""
    table = json.loads(TRUTH.read_text(encoding="utf-8"))
    return {file: {*shown["tags"], *shown["drawings"]} for file, shown in table.items()}


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Command:
    """The session's library; tests that change one take `photoindex` instead."""
    command = Command(tmp_path_factory.mktemp("indexed") / "library")
    command("index", pictures, "--model", "sketch")
    return command


@pytest.fixture
def photoindex(indexed: Command, tmp_path: Path) -> Command:
    """A library of the test's own."""
    return Command(Path(shutil.copytree(indexed.library, tmp_path / "library")))


@pytest.fixture
def empty(tmp_path: Path) -> Command:
    """No library at all yet."""
    return Command(tmp_path / "none" / "library")
