"""Somebody's photos and ten tags of their own: what the trial's scenes mean to them.

None of the tags is in the bundled model's vocabulary; each is a rule about what a scene shows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from small_run import TRIAL

from ram_tagger.sketch.trial import read_trial

FARM = {"cow", "pig", "sheep", "chicken", "horse", "tractor", "dog", "rabbit"}

RULES: dict[str, Callable[[set[str], set[str]], bool]] = {
    "day at the sea": lambda shown, tags: bool(tags & {"sea", "beach"}),
    "aquarium": lambda shown, tags: "sea animal" in tags,
    "night out": lambda shown, tags: "night sky" in tags,
    "hike": lambda shown, tags: "mountains" in tags,
    "bouquet": lambda shown, tags: "flower" in tags,
    "at home": lambda shown, tags: (
        "room" in tags and bool(tags & {"household item", "clothing", "food"})
    ),
    "safari": lambda shown, tags: {"desert", "animal"} <= tags,
    "winter animals": lambda shown, tags: {"snow", "animal"} <= tags,
    "picnic": lambda shown, tags: "picnic blanket" in tags and bool(tags & {"food", "fruit"}),
    "farm": lambda shown, tags: "meadow" in tags and bool(shown & FARM),
}

DESCRIPTIONS: dict[str, list[str]] = {
    "day at the sea": [
        "a beach with yellow sand beside blue water",
        "blue waves up to the horizon",
        "a boat on the sea",
    ],
    "aquarium": ["a fish", "an octopus", "a dolphin in the water", "a turtle"],
    "night out": ["the night sky with stars and a moon", "something in the dark at night"],
    "hike": ["grey mountains above a green valley", "a range of rocky summits"],
    "bouquet": ["a flower", "a rose", "a tulip", "a sunflower"],
    "at home": ["a cup in a room", "a chair in a room with a wooden floor", "food in a room"],
    "safari": ["a lion in the desert", "an animal among the dunes", "a camel in the desert"],
    "winter animals": ["an animal in the snow", "a dog on a snowy field", "a bird in the snow"],
    "picnic": ["a checked picnic blanket with food", "fruit on a picnic blanket"],
    "farm": ["a cow on a meadow", "a pig on the grass", "a horse on the grass", "a tractor"],
}


def write_own_photos(folder: Path, numbers: Sequence[int]) -> None:
    """`my-photos/`, `my-tags.csv` and `my-tags.json`, as the walk in docs/training.md has them."""
    photos = folder / "my-photos"
    photos.mkdir(parents=True)
    trial, pictures = read_trial(TRIAL)
    with (folder / "my-tags.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "tags"])
        for number in numbers:
            name = f"IMG_{number:04}.png"
            pictures[number].save(photos / name)
            table.writerow([name, "|".join(own_tags(trial.shown[number], trial.tags[number]))])
    described = {
        tag: {"descriptions": texts, "zh": "海边一日"} if tag == "day at the sea" else texts
        for tag, texts in DESCRIPTIONS.items()
    }
    (folder / "my-tags.json").write_text(json.dumps(described), encoding="utf-8")


def own_tags(shown: Sequence[str], tags: Sequence[str]) -> list[str]:
    """The tags of one's own that a scene deserves."""
    return [tag for tag, rule in RULES.items() if rule(set(shown), set(tags))]
