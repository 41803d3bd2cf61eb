"""A small library, and exiftool where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from small_library import Place


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own settings play no part."""
    for name in [name for name in os.environ if name.startswith("PHOTOINDEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """No photo in it yet."""
    folder = tmp_path / "photos"
    folder.mkdir()
    place = Place(folder, tmp_path / "library")
    with place.catalog():
        return place


@pytest.fixture(scope="session")
def exiftool() -> Callable[..., str]:
    """Runs exiftool and returns what it prints."""
    program = shutil.which("exiftool")
    if program is None:
        missing = "exiftool is not installed (Debian: apt-get install libimage-exiftool-perl)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)

    def run(*words: str | os.PathLike[str]) -> str:
        ended = subprocess.run(
            [program, "-charset", "filename=utf8", *map(os.fspath, words)],
            capture_output=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.decode("utf-8")

    return run
