"""SIGKILL at chance moments: nothing lost, nothing twice, nothing half-done."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from disturbed import (
    PICTURES,
    Place,
    Undisturbed,
    analysed,
    assert_alike,
    being_written,
    check,
    listed,
    look,
)

AT_WORK = "landed after some new photos were analysed"
ROUNDS, KILLS = 10, 11
"""Each round is a library of its own; each kill ends one process: a hundred and ten in all."""
AT_LEAST = {"index killed": 3, "watch killed": 3, "add-concept killed": 2, AT_WORK: 3}
"""In each round."""
MANY, EARLY, AIMED = 800, 4, 8
"""Concepts, so many that storing them takes a moment; kills at any time, kills while they are."""
LONGEST = 5.0  # seconds: an undisturbed run over all pictures takes half as long again
MOVED = " moved"
STORED, IN_WRITING = "stored all the same", "killed in the middle of writing"
AT_ONCE = 30  # pictures that arrive before each command
Record = Callable[[str, object], None]


class Arrivals:
    """Pictures that come bit by bit, and meanwhile are moved, taken away and brought back."""

    def __init__(self, source: Path, pictures: Path, chance: random.Random) -> None:
        self._source, self._pictures, self._chance = source, pictures, chance
        self._coming = sorted(path.relative_to(source) for path in source.rglob("*.jpg"))
        chance.shuffle(self._coming)
        self._came: list[Path] = []
        pictures.mkdir()

    def go_on(self) -> None:
        """Some more arrive; then a folder is renamed, or pictures are taken or brought back."""
        self._came += self._coming[:AT_ONCE]
        self._bring(self._coming[:AT_ONCE])
        del self._coming[:AT_ONCE]
        what = self._chance.choice(("move", "take", "bring", "nothing"))
        if what == "move":
            folder = self._chance.choice(sorted(self._pictures.iterdir()))
            folder.rename(folder.with_name(folder.name.removesuffix(MOVED) + MOVED))
        elif what == "take":
            for file in self._chance.sample(sorted(self._pictures.rglob("*.jpg")), AT_ONCE // 2):
                file.unlink()
        elif what == "bring":
            self._bring(self._came)

    def finish(self) -> None:
        """Everything is there, where it belongs."""
        self._bring([*self._came, *self._coming])
        for folder in self._pictures.glob("*" + MOVED):
            folder.rename(folder.with_name(folder.name.removesuffix(MOVED)))

    def _bring(self, files: list[Path]) -> None:
        for file in files:
            moved = self._pictures / (str(file.parent) + MOVED)
            folder = moved if moved.exists() else self._pictures / file.parent
            folder.mkdir(exist_ok=True)
            if not (folder / file.name).exists():
                shutil.copyfile(self._source / file, folder / file.name)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_again_and_again_and_then_left_alone(
    number: int, undisturbed: Undisturbed, tmp_path: Path, record_property: Record
) -> None:
    """`index`, `watch` and `add-concept` are killed in chance order; then each of them finishes.

    A watcher does once it has caught up and is told to stop: before `index` or after it.

    Before each, new pictures arrive and some are moved, taken away or brought back, so that there
    is something to do.
    """
    chance = random.Random(number)
    place = Place(tmp_path, tmp_path / "pictures")
    arrivals = Arrivals(undisturbed.pictures, place.pictures, chance)
    commands = {
        "index": ("index", str(place.pictures)),
        "watch": ("watch", str(place.pictures)),
        "add-concept": ("add-concept", str(place.concepts())),
    }
    landed: Counter[str] = Counter(libraries=1, pictures=PICTURES)
    killed = 0
    turns = _turns(chance)
    while killed < KILLS:
        name, aimed = turns[killed]
        arrivals.go_on()
        before = analysed(place.library)
        if _killed(chance, place, commands[name], before if aimed else None):
            killed += 1
            landed[f"{name} killed"] += 1
            landed[_where(name, before, analysed(place.library))] += 1
        if (place.library / "catalog.db").exists():
            check(place.library)
    arrivals.finish()
    if number % 2:
        _watch_until_caught_up(place)
    place.run("index", str(place.pictures))
    if number % 2 == 0:
        _watch_until_caught_up(place)
    place.run("add-concept", commands["add-concept"][1])
    seen = look(place.library)
    assert len(seen.photos) == PICTURES
    assert_alike(seen, undisturbed.seen)
    place.run("doctor")
    assert "Traceback" not in place.said.read_text()
    for what, times in landed.items():
        record_property(what, times)
    assert all(landed[what] >= least for what, least in AT_LEAST.items()), landed


def test_concepts_killed_while_they_are_added_are_neither_visible_nor_stored(
    undisturbed: Undisturbed, tmp_path: Path, record_property: Record
) -> None:
    """All of their photos or none, and no half of them in any table."""
    untouched = Place(tmp_path / "untouched", undisturbed.pictures)
    untouched.top.mkdir()
    untouched.run("index", str(untouched.pictures))
    before = look(untouched.library)
    concepts = tmp_path / "concepts.json"
    concepts.write_text(
        json.dumps({f"thing {number}": [f"a red thing {number}"] for number in range(MANY)})
    )
    whole = _copied(untouched, tmp_path / "whole")
    whole.run("add-concept", str(concepts))
    after = look(whole.library)
    assert len(after.concepts) == MANY
    chance = random.Random(1)
    came = Counter(dict.fromkeys(("killed", "finished before", STORED, IN_WRITING), 0))
    for number in range(EARLY + AIMED):
        place = _copied(untouched, tmp_path / str(number))
        words = ("add-concept", str(concepts))
        if number < EARLY:
            killed = place.kill(words, chance.uniform(0.2, LONGEST))
        else:
            moment = (0.0, 0.01, 0.0, 0.03)[number % 4]
            killed = place.kill(words, moment, partial(being_written, place.library), 60.0)
        seen = look(place.library)
        assert seen.concepts in ((), after.concepts)
        assert_alike(seen, after if seen.concepts else before)
        came["killed" if killed else "finished before"] += 1
        came[STORED] += killed and bool(seen.concepts)
        # It writes nothing but the concepts, and had begun to.
        came[IN_WRITING] += number >= EARLY and killed and not seen.concepts
    place.run("add-concept", str(concepts))  # what was killed can be had all the same
    assert_alike(look(place.library), after)
    for what, times in came.items():
        record_property(what, times)
    assert came["killed"] >= AIMED // 2 and came[IN_WRITING] >= 3, came


def _copied(place: Place, top: Path) -> Place:
    """The same in another place."""
    shutil.copytree(place.library, top / "library")
    return replace(place, top=top)


def _turns(chance: random.Random) -> list[tuple[str, bool]]:
    """Which command is killed when, and whether while it analyses photos or at any time.

    A concept needs photos to be scored on: at first, they are only just coming.
    """
    first = [("index", True), ("watch", True)]
    then = [(name, aimed) for name in ("index", "watch") for aimed in (True, False)]
    then += [("add-concept", False)] * 2
    while len(first + then) < KILLS:
        name = chance.choice(("index", "watch", "add-concept"))
        then.append((name, name != "add-concept" and chance.random() < 0.5))
    chance.shuffle(first)
    chance.shuffle(then)
    return first + then


def _watch_until_caught_up(place: Place) -> None:
    """A watcher that says so, lists all that is there, and is then stopped in order."""
    before = place.said.stat().st_size
    watcher = place.start("watch", str(place.pictures))
    try:
        end = time.monotonic() + 120
        while b"caught up" not in place.said.read_bytes()[before:]:
            assert time.monotonic() < end and watcher.poll() is None
            time.sleep(0.2)
        assert {Path(path) for path in listed(place.library)} == set(place.pictures.rglob("*.jpg"))
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(60) == 0


def _killed(
    chance: random.Random, place: Place, words: tuple[str, ...], before: int | None
) -> bool:
    """Kill a command at any time, or once it has analysed some more photos than before."""
    if before is None:
        return place.kill(words, chance.uniform(0.2, LONGEST))
    more = before + chance.randint(1, AT_ONCE // 2)
    return place.kill(words, chance.uniform(0, 0.3), lambda: analysed(place.library) >= more, 30.0)


def _where(name: str, before: int, after: int) -> str:
    """What a command was at when it was killed, as far as what it left behind tells."""
    if name == "add-concept":
        return "landed while a concept was being added"
    if after > before:
        return AT_WORK
    return "landed before the first new photo was analysed"
