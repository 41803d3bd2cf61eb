"""A backup while `photoindex watch` runs, and no restore then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_library import Place

import photoindex.demo

PICTURES = Path(photoindex.demo.__file__).parent / "pictures" / "zoo"
PROGRAM = Path(sys.executable).with_name("photoindex")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Place]:
    """Bundled pictures, and a watcher that has caught up with them."""
    folder = Path(shutil.copytree(PICTURES, tmp_path / "photos"))
    place = Place(folder, tmp_path / "library")
    words = ["--library", place.library, "watch", folder, "--model", "sketch", "--settle", "0.3"]
    watcher = subprocess.Popen(
        [PROGRAM, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watcher.stderr is not None
        said = next((line for line in watcher.stderr if line.startswith("caught up")), None)
        assert said is not None, "the watcher ended"
        yield place
    finally:
        watcher.terminate()
        watcher.communicate(timeout=60)


def test_a_backup_is_made_beside_a_watcher_and_none_restored(
    watched: Place, tmp_path: Path
) -> None:
    file = tmp_path / "b"
    photos = watched.run("backup", file, "--json").document["photos"]
    assert photos == sum(path.is_file() for path in PICTURES.iterdir())
    assert "already watched" in watched.run("restore", file, "--force", code=3).err
    other = Place(watched.folder, tmp_path / "elsewhere")
    other.run("restore", file)
    assert other.tags(watched.folder / "lions.jpg") == watched.tags(watched.folder / "lions.jpg")
    done = other.run("index", "--json").document
    assert not any(done.values())  # nothing is new to it
    assert other.run("status", "--json").document["photos"] == photos
