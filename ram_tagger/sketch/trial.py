"""The trial that `sketch` is measured on: scenes it never saw, concepts and text queries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SCENES, QUERIED, QUERIES = 1000, 500, 200
"""Scenes in all, how many of them are searched by text, and by how many queries."""
SEED = 990_001
PIXELS = 96
ACROSS, DOWN = 20, 25
"""Scenes on a stored sheet."""


@dataclass(frozen=True, slots=True)
class Query:
    """A text about two drawings, and the scenes that show both."""

    text: str
    scenes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What is true of every scene, and what is asked."""

    shown: tuple[tuple[str, ...], ...]  # drawings in each scene, held-out ones too
    tags: tuple[tuple[str, ...], ...]  # true tags of each scene
    concepts: Mapping[str, tuple[str, ...]]  # descriptions of the held-out drawings
    queries: tuple[Query, ...]


def make_trial() -> tuple[Trial, list[Image.Image]]:
    """The trial and its pictures, always the same. Needs the emoji font and CLDR."""
    from ram_tagger.sketch.descriptions import describe
    from ram_tagger.sketch.scenes import make_scene, picture_at, scene_tags
    from ram_tagger.sketch.vocabulary import held_out

    rng = np.random.default_rng(SEED)
    scenes = [make_scene(rng) for _ in range(SCENES)]
    pictures = [picture_at(scene, PIXELS, rng) for scene in scenes]
    shown = tuple(scene.names for scene in scenes)
    trial = Trial(
        shown,
        tuple(tuple(sorted(scene_tags(scene))) for scene in scenes),
        {name: describe(name) for name in held_out()},
        _queries(rng, shown[:QUERIED]),
    )
    return trial, pictures


def write_trial(folder: Path, trial: Trial, pictures: list[Image.Image]) -> None:
    """Pack a trial into a few sheets and a table, to measure where no font is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    table = json.dumps(asdict(trial), ensure_ascii=False, separators=(",", ":"))
    (folder / "trial.json").write_text(table + "\n", encoding="utf-8")
    for first in range(0, len(pictures), ACROSS * DOWN):
        sheet = Image.new("RGB", (ACROSS * PIXELS, DOWN * PIXELS))
        for i, picture in enumerate(pictures[first : first + ACROSS * DOWN]):
            sheet.paste(picture, _corner(i))
        sheet.save(folder / f"scenes-{first:04}.webp", lossless=True, quality=60)


def read_trial(folder: Path) -> tuple[Trial, list[Image.Image]]:
    """What `write_trial` wrote."""
    table = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    trial = Trial(
        tuple(map(tuple, table["shown"])),
        tuple(map(tuple, table["tags"])),
        {name: tuple(texts) for name, texts in table["concepts"].items()},
        tuple(Query(q["text"], tuple(q["scenes"])) for q in table["queries"]),
    )
    pictures: list[Image.Image] = []
    for path in sorted(folder.glob("scenes-*.webp")):
        with Image.open(path) as file:
            sheet = file.convert("RGB")
        for i in range(ACROSS * DOWN):
            x, y = _corner(i)
            pictures.append(sheet.crop((x, y, x + PIXELS, y + PIXELS)))
    return trial, pictures[: len(trial.shown)]


def _queries(rng: np.random.Generator, shown: tuple[tuple[str, ...], ...]) -> tuple[Query, ...]:
    """Texts like "a cat and a car", each about two drawings of some scene, held-out ones too."""
    from ram_tagger.sketch.captions import with_article

    pairs: dict[frozenset[str], str] = {}
    for i in rng.permutation(len(shown)):
        if len(shown[i]) > 1 and len(pairs) < QUERIES:
            a, b = (shown[i][j] for j in rng.choice(len(shown[i]), 2, replace=False))
            pairs.setdefault(frozenset((a, b)), f"{with_article(a)} and {with_article(b)}")
    return tuple(
        Query(text, tuple(i for i, names in enumerate(shown) if pair <= set(names)))
        for pair, text in pairs.items()
    )


def _corner(index: int) -> tuple[int, int]:
    return index % ACROSS * PIXELS, index // ACROSS * PIXELS
