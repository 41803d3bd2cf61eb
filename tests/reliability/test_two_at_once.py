"""A watcher, index runs, searches and concepts on one library at the same time."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from disturbed import CONCEPTS, PROGRAM, Place, Undisturbed, assert_alike, look

SECONDS = 90.0
pytestmark = pytest.mark.timeout(600)


def test_everything_at_once(
    undisturbed: Undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """No command fails, nothing is locked for a user, and the library ends up right."""
    place = Place(tmp_path, tmp_path / "pictures")
    place.pictures.mkdir()
    concepts = place.concepts()
    end = time.monotonic() + SECONDS
    said: list[str] = []
    took: dict[str, list[float]] = {}

    def again_and_again(*words: str, codes: tuple[int, ...] = (0,), wait: float = 0.0) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            done = subprocess.run(
                [str(PROGRAM), *words],
                env=place.environment(),
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            took.setdefault(words[0], []).append(time.monotonic() - began)
            if done.returncode not in codes or "locked" in done.stderr:
                said.append(f"{words}: {done.returncode}: {done.stderr}")
            if words[0] == "search" and done.returncode == 0:
                _consistent(json.loads(done.stdout), place, said)
            time.sleep(wait)

    watcher = place.start("watch", str(place.pictures))
    workers = [
        threading.Thread(target=again_and_again, args=words, kwargs=options)
        for words, options in (
            (("index", str(place.pictures)), {"wait": 2.0}),
            (("search", "--json", "-n", "50", "a red thing"), {"codes": (0, 1), "wait": 0.5}),
            (("search", "--json", "--all", "after:2000"), {"codes": (0, 1), "wait": 0.2}),
            (("add-concept", str(concepts)), {"wait": 3.0}),
            (("status", "--json"), {"wait": 0.5}),
        )
    ]
    try:
        _wait_for_library(place)
        for worker in workers:
            worker.start()
        _bring_pictures(undisturbed.pictures, place.pictures, end)
        for worker in workers:
            worker.join()
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(120) == 0
    for name, seconds in took.items():
        record_property(f"{name} runs", len(seconds))
        record_property(f"{name} longest seconds", round(max(seconds), 1))
    assert said == []
    place.run("index", str(place.pictures))
    place.run("add-concept", str(concepts))
    assert_alike(look(place.library), undisturbed.seen)
    assert set(CONCEPTS) == set(look(place.library).concepts)


def _bring_pictures(source: Path, target: Path, end: float) -> None:
    """Copy the pictures bit by bit; some are moved away and come back."""
    chance = random.Random(4)
    files = sorted(source.rglob("*.jpg"))
    pause = (end - time.monotonic()) / len(files) * 0.7
    for file in files:
        into = target / file.relative_to(source)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, into)
        if chance.random() < 0.1:
            aside = into.with_name("aside.jpg")
            into.rename(aside)
            time.sleep(0.05)
            aside.rename(into)
        time.sleep(pause)


def _consistent(result: dict[str, object], place: Place, said: list[str]) -> None:
    """Every hit is whole: it has a file in the folder, and no photo comes twice."""
    hits = result["hits"]
    assert isinstance(hits, list)
    paths = [hit["path"] for hit in hits]
    if len(set(paths)) < len(paths):
        said.append(f"a photo twice: {paths}")
    said.extend(
        f"not below the folder: {path}"
        for path in paths
        if not Path(path).is_relative_to(place.pictures)
    )


def _wait_for_library(place: Place) -> None:
    end = time.monotonic() + 60
    while not (place.library / "catalog.db").exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(3.0)
