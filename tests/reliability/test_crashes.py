"""SIGKILL at chance moments: nothing lost, nothing twice, nothing half-done."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from disturbed import PICTURES, Place, Undisturbed, check, look, moments

ROUNDS, KILLS = 10, 10
"""Each round is a library of its own; each kill ends one process: a hundred in all."""
LONGEST = 5.0  # seconds: an undisturbed run takes a little longer than two of these


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_again_and_again_and_then_left_alone(
    number: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """`index`, `watch` and `add-concept` are killed in chance order; then one of each finishes."""
    chance = random.Random(number)
    place = Place(tmp_path, tmp_path / "pictures")
    shutil.copytree(undisturbed.pictures, place.pictures)
    commands = (
        ("index", str(place.pictures)),
        ("watch", str(place.pictures)),
        ("add-concept", str(place.concepts())),
    )
    killed = 0
    while killed < KILLS:
        # A concept needs photos to be scored on: at first, they are only just coming.
        words = chance.choice(commands[:2] if killed < 2 else commands)
        (after,) = moments(chance, 1, LONGEST)
        killed += place.kill(words, after)
        if (place.library / "catalog.db").exists():
            check(place.library)
    place.run("index", str(place.pictures))
    place.run("add-concept", str(place.concepts()))
    seen = look(place.library)
    assert len(seen.photos) == PICTURES
    assert seen == undisturbed.seen
    assert not list(place.library.glob("*.aside"))


def test_a_concept_killed_while_it_is_added_is_neither_visible_nor_stored(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """All of its photos or none, and no half of it in any table."""
    place = Place(tmp_path, undisturbed.pictures)
    place.run("index", str(place.pictures))
    chance = random.Random(1)
    before = look(place.library)
    for after in moments(chance, 5, 2.5):
        place.kill(("add-concept", str(place.concepts())), after)
        seen = look(place.library)
        assert seen.concepts in ((), undisturbed.seen.concepts)
        assert seen == (undisturbed.seen if seen.concepts else before)
        if seen.concepts:
            for name in seen.concepts:
                place.run("concepts", "remove", name)
