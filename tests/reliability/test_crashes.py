"""SIGKILL at chance moments: nothing lost, nothing twice, nothing half-done."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from disturbed import PICTURES, Place, Undisturbed, analysed, assert_alike, check, look

ROUNDS, KILLS = 10, 11
"""Each round is a library of its own; each kill ends one process: a hundred and ten in all."""
LONGEST = 5.0  # seconds: an undisturbed run over all pictures takes half as long again
MOVED = " moved"
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
    """`index`, `watch` and `add-concept` are killed in chance order; then one of each finishes.

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
    while killed < KILLS:
        # A concept needs photos to be scored on: at first, they are only just coming.
        name = chance.choice(list(commands)[: 2 if killed < 2 else 3])
        arrivals.go_on()
        before = analysed(place.library)
        if _killed(chance, place, commands[name], before):
            killed += 1
            landed[f"{name} killed"] += 1
            landed[_where(name, before, analysed(place.library))] += 1
        if (place.library / "catalog.db").exists():
            check(place.library)
    arrivals.finish()
    place.run("index", str(place.pictures))
    place.run("add-concept", commands["add-concept"][1])
    seen = look(place.library)
    assert len(seen.photos) == PICTURES
    assert_alike(seen, undisturbed.seen)
    place.run("doctor")
    assert "Traceback" not in place.said.read_text()
    for what, times in landed.items():
        record_property(what, times)


def test_a_concept_killed_while_it_is_added_is_neither_visible_nor_stored(
    undisturbed: Undisturbed, tmp_path: Path, record_property: Record
) -> None:
    """All of its photos or none, and no half of it in any table."""
    place = Place(tmp_path, undisturbed.pictures)
    place.run("index", str(place.pictures))
    chance = random.Random(1)
    before = look(place.library)
    came = Counter(dict.fromkeys(("killed", "finished before", "stored all the same"), 0))
    for _ in range(12):
        killed = place.kill(("add-concept", str(place.concepts())), chance.uniform(1.0, 5.0))
        seen = look(place.library)
        assert seen.concepts in ((), undisturbed.seen.concepts)
        assert_alike(seen, undisturbed.seen if seen.concepts else before)
        came["killed" if killed else "finished before"] += 1
        came["stored all the same"] += killed and bool(seen.concepts)
        for name in seen.concepts:
            place.run("concepts", "remove", name)
    for what, times in came.items():
        record_property(what, times)


def _killed(chance: random.Random, place: Place, words: tuple[str, ...], before: int) -> bool:
    """Kill a command at any time, or in half of the cases while it analyses photos."""
    if words[0] == "add-concept" or chance.random() < 0.5:
        return place.kill(words, chance.uniform(0.2, LONGEST))
    more = before + chance.randint(1, AT_ONCE // 2)
    return place.kill(words, chance.uniform(0, 0.3), lambda: analysed(place.library) >= more)


def _where(name: str, before: int, after: int) -> str:
    """What a command was at when it was killed, as far as what it left behind tells."""
    if name == "add-concept":
        return "landed while a concept was being added"
    if after > before:
        return "landed after some new photos were analysed"
    return "landed before the first new photo was analysed"
