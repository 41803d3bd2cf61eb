"""A small training set in the published format, drawn scenes with captions, and recipes for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ram_tagger.model_folder import load_labels
from ram_tagger.sketch.trial import read_trial
from ram_tagger.sources import BUNDLED
from ram_tagger.training.recipe import Recipe

TRIAL = Path(__file__).parents[1] / "sketch" / "trial"


@dataclass(frozen=True, slots=True)
class SmallSet:
    """A folder of pictures, two annotation files and a benchmark."""

    folder: Path
    images: Path
    annotations: tuple[Path, Path]
    tag_list: Path
    annots: Path

    def recipe(self, **sections: Any) -> Recipe:
        """A few quick steps on from the bundled model; each section's entries can be changed."""
        table: dict[str, dict[str, Any]] = {
            "beginning": {"model": str(BUNDLED)},
            "network": {"dropout": 0.1},  # so that chance plays a part in every step
            "data": {
                "annotations": [str(path) for path in self.annotations],
                "images": str(self.images),
                "workers": 0,
            },
            "augmentation": {"smallest_crop": 0.7, "flip": True, "operations": 1},
            "schedule": {
                "pictures": 8,
                "at_once": 8,
                "steps": 6,
                "rate": 1e-3,
                "warm_up": 2,
                "precision": "fp32",
                "fixed_statistics": True,
            },
            "loss": {"tagging": 0.1, "alignment": 0.1, "unit_target": True, "spare_holding": True},
            "output": {"report_every": 1, "save_every": 2, "tensorboard": False},
        }
        for name, entries in sections.items():
            table[name] = {**table.get(name, {}), **entries}
        return Recipe.from_json({"name": "small", **table}, "small")

    def evaluated(self, recipe: Recipe) -> Recipe:
        """The recipe with a benchmark of the set's own pictures."""
        table = recipe.to_json()
        table["evaluations"] = [
            {
                "name": "same scenes",
                "tag_list": str(self.tag_list),
                "annotations": str(self.annots),
                "images": str(self.images),
            }
        ]
        return replace(Recipe.from_json(table, "small"), name=recipe.name)


def write_small_set(folder: Path, pictures: int = 24) -> SmallSet:
    """The first scenes of the trial; every caption names some of what is drawn."""
    trial, drawn = read_trial(TRIAL)
    rows = {name: row for row, name in enumerate(load_labels(BUNDLED).names)}
    images = folder / "images"
    images.mkdir(parents=True)
    entries = []
    for number in range(pictures):
        drawn[number].save(images / f"scene-{number:02}.png")
        tags = [rows[tag] for tag in trial.tags[number]]
        shown = trial.shown[number]
        named = [[name] for name in shown] + ([list(shown)] if len(shown) > 1 else [])
        entries.append(
            {
                "image_path": f"scene-{number:02}.png",
                "caption": [" and ".join(f"a {name}" for name in names) for names in named],
                "union_label_id": tags,
                "parse_label_id": [[rows[n] for n in names if n in rows] for names in named],
            }
        )
    first, second = folder / "first.json", folder / "second.json"
    first.write_text(json.dumps(entries[: pictures // 2]), encoding="utf-8")
    second.write_text(json.dumps(entries[pictures // 2 :]), encoding="utf-8")
    tag_list, annots = folder / "taglist.txt", folder / "annots.txt"
    tag_list.write_text("".join(f"{name}\n" for name in rows), encoding="utf-8")
    lines = (",".join([f"scene-{n:02}", *trial.tags[n]]) for n in range(pictures))
    annots.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return SmallSet(folder, images, (first, second), tag_list, annots)
