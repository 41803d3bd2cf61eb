"""A watcher, index runs, searches and concepts on one library at the same time.

PHOTOINDEX_CROWD_SECONDS: for how long, to try something out.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from disturbed import CONCEPTS, PROGRAM, Place, Undisturbed, assert_alike, draw, look

SECONDS = float(os.environ.get("PHOTOINDEX_CROWD_SECONDS", "180"))
AT_ONCE = 20.0  # seconds that a search or a status may take: far more than it does
READERS = ("search", "status")
ASIDE = "aside.jpg"
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Answers:
    """What searches are held against: the library that nothing happened to.

    wrong: what was not so; compared: how many hits and tags were.
    """

    place: Place
    truth: Undisturbed
    wrong: list[str] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)

    def take(self, result: dict[str, Any]) -> None:
        """No photo comes twice, and each is the one at its path, with the tags that it has."""
        paths = [hit["path"] for hit in result["hits"]]
        if len(set(paths)) < len(paths):
            self.wrong.append(f"a photo twice: {paths}")
        for hit in result["hits"]:
            self.compared["hits compared"] += 1
            self.wrong.extend(f"{one}: {hit}" for one in self._not_so(hit))

    def _not_so(self, hit: dict[str, Any]) -> list[str]:
        photos = self.truth.seen.photos
        of = {photo.hash: (name, photo) for name, photo in photos.items()}
        if hit["hash"] not in of:
            return ["no photo of ours"]
        name, photo = of[hit["hash"]]
        right = {self.place.pictures / name, (self.place.pictures / name).with_name(ASIDE)}
        files = [Path(file["path"]) for file in hit["files"]]
        wrong = [] if files and {Path(hit["path"]), *files} <= right else ["another's file"]
        has = {(tag, source): probability for tag, source, probability in photo.tags}
        for tag in hit["tags"]:
            self.compared["tags compared"] += 1
            probability = has.get((tag["name"], tag["source"]))
            if probability is None or abs(probability - tag["probability"]) > 1e-3:
                wrong.append(f"tagged {tag['name']}")
        return wrong


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
    answers = Answers(place, undisturbed)

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
            if done.returncode not in codes or _upset(done.stderr):
                said.append(f"{words}: {done.returncode}: {done.stderr}")
            if words[0] == "search" and done.returncode == 0:
                answers.take(json.loads(done.stdout))
            time.sleep(wait)

    watcher = place.start("watch", str(place.pictures))
    jobs: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (("index", str(place.pictures)), {"wait": 2.0}),
        (("search", "--json", "-n", "50", "a red thing"), {"codes": (0, 1), "wait": 0.5}),
        (("search", "--json", "--all", "after:2000"), {"codes": (0, 1), "wait": 0.2}),
        (
            ("search", "--json", "--all", _commonest_tag(undisturbed)),
            {"codes": (0, 1), "wait": 0.5},
        ),
        (("add-concept", str(concepts)), {"wait": 3.0}),
        (("status", "--json"), {"wait": 0.5}),
    )
    try:
        _wait_for_library(place)
        with ThreadPoolExecutor(len(jobs)) as pool:
            workers = [pool.submit(again_and_again, *words, **how) for words, how in jobs]
            _bring_pictures(undisturbed.pictures, place.pictures, end)
        for worker in workers:
            worker.result()
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(120) == 0
    for name, seconds in took.items():
        record_property(f"{name} runs", len(seconds))
        record_property(f"{name} longest seconds", round(max(seconds), 1))
    for what, times in answers.compared.items():
        record_property(what, times)
    assert said == [] and answers.wrong == []
    assert not _upset(place.said.read_text()), place.said.read_text()
    assert {name: max(took[name]) for name in READERS if max(took[name]) > AT_ONCE} == {}
    assert all(len(took[name]) >= 3 for name in (*READERS, "index", "add-concept")), took
    assert min(answers.compared["hits compared"], answers.compared["tags compared"]) > 0
    place.run("index", str(place.pictures))
    place.run("add-concept", str(concepts))
    assert_alike(look(place.library), undisturbed.seen)
    assert set(CONCEPTS) == set(look(place.library).concepts)


def test_readers_do_not_wait_for_whoever_writes_for_long(tmp_path: Path) -> None:
    """They answer at once though the lock to write is held all the while."""
    place = Place(tmp_path, draw(tmp_path / "pictures", 4))
    place.run("index", str(place.pictures))
    catalog = place.library / "catalog.db"
    with contextlib.closing(sqlite3.connect(catalog, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        for words in (
            ("search", "--json", "--all", "a red thing"),
            ("search", "--json", "after:2000"),
            ("status", "--json"),
            ("tags",),
        ):
            began = time.monotonic()
            done = place.run(*words)
            assert not _upset(done.stderr), done.stderr
            assert time.monotonic() - began < AT_ONCE, words
        writer.execute("ROLLBACK")


def _upset(remarks: str) -> bool:
    """Whether something went wrong within, or somebody else was in the way."""
    return any(word in remarks for word in ("Traceback", "locked", "too long"))


def _commonest_tag(undisturbed: Undisturbed) -> str:
    """What the model says of pictures most surely, taken all together."""
    sums: dict[str, float] = {}
    for photo in undisturbed.seen.photos.values():
        for name, source, probability in photo.tags:
            if source == "model":
                sums[name] = sums.get(name, 0.0) + probability
    return max(sums, key=lambda name: sums[name])


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
            aside = into.with_name(ASIDE)
            into.rename(aside)
            time.sleep(0.05)
            aside.rename(into)
        time.sleep(pause)


def _wait_for_library(place: Place) -> None:
    end = time.monotonic() + 60
    while not (place.library / "catalog.db").exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(3.0)
