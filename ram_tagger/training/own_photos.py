"""From a table of one's own photos to everything that a training run needs.

The model keeps its vocabulary and learns more: the table speaks of its own tags alone, and of all
others the model is held to the opinion that it begins with, so that it does not forget.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from photoindex.tagger import Concept
from ram_tagger.errors import RecipeError, UnreadablePicture
from ram_tagger.label_bank import build_bank, write_bank
from ram_tagger.labels import LabelBank
from ram_tagger.predict import RamTagger, open_picture
from ram_tagger.training.photo_table import OwnPhoto, split, tags_of
from ram_tagger.training.recipe import (
    Augmentation,
    Beginning,
    Data,
    Evaluation,
    Labels,
    Loss,
    Output,
    Recipe,
    Steps,
)
from ram_tagger.vocabulary import LabelSet

OWN = "own tags"
RECIPE, PREPARED = "recipe.json", "prepared.json"
CAPTIONS = ("a photo of {}", "{}")
_LISTS = ("tags", "new", "unjudged")
LOOKED_AT = 8
"""Photos from which it is told what the model's mean token imitates."""
BETWEEN_LENGTHS = 3.0
"""CLIP's image embeddings are about 10 long; a mean token much shorter imitates unit length."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How one's own photos are learned; the rest follows from them and from the model."""

    model: Path  # a model folder
    images: Path  # what the table's paths are relative to
    held_out: float = 0.2  # part of the photos that thresholds and figures come from
    only_own: bool = False  # forget the model's vocabulary
    epochs: float = 20.0
    pictures: int = 16  # a step
    rate: float = 1e-4
    whole: bool = False  # train the image encoder too, not the decoder alone
    seed: int = 0
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made of a table: a recipe to train, and what of the photos went where."""

    recipe: Recipe
    tags: tuple[str, ...]  # those of the table
    new: tuple[str, ...]  # of these the ones that the model did not know
    unjudged: tuple[str, ...]  # and those that no held-out photo shows
    training: int  # photos
    held_out: int


def prepared(
    photos: Sequence[OwnPhoto],
    concepts: Sequence[Concept],
    wanted: FineTuning,
    device: str,
    folder: Path,
) -> Prepared:
    """What `prepare` makes in this folder, or made when it was called with the same photos before.

    So an interrupted training goes on with exactly what it began with. Raises RecipeError where the
    folder was made of something else.
    """
    asked = hashlib.blake2b(repr((photos, concepts, wanted)).encode(), digest_size=16).hexdigest()
    note = folder / PREPARED
    if note.is_file():
        table = json.loads(note.read_text(encoding="utf-8"))
        if table.pop("asked") != asked:
            raise RecipeError(
                f"{folder} was made of another table or with other options: delete it, or name "
                "another --out"
            )
        recipe = Recipe.from_json(table.pop("recipe"), str(note))
        lists: dict[str, Any] = {name: tuple(table.pop(name)) for name in _LISTS}
        return Prepared(recipe=recipe, **lists, **table)
    made = prepare(photos, concepts, wanted, RamTagger.load(wanted.model, device), folder)
    table = {**asdict(made), "recipe": made.recipe.to_json(), "asked": asked}
    text = json.dumps(made.recipe.to_json(), ensure_ascii=False, indent=1)
    (folder / RECIPE).write_text(text + "\n", encoding="utf-8")
    note.write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf-8")
    return made


def prepare(
    photos: Sequence[OwnPhoto],
    concepts: Sequence[Concept],
    wanted: FineTuning,
    tagger: RamTagger,
    folder: Path,
) -> Prepared:
    """Write annotations, label bank and benchmark into a folder; the recipe names them all.

    concepts: descriptions, thresholds and Chinese names of tags of the table; one without
    descriptions is embedded by prompt templates. Raises RecipeError, CheckpointError.
    """
    photos = _spelled_as_known(photos, tagger.labels)
    own = tags_of(photos)
    known = {tag.casefold() for tag in own}
    strangers = [concept.name for concept in concepts if concept.name.casefold() not in known]
    if strangers:
        raise RecipeError(f'the concept "{strangers[0]}" is no tag of the table: spell them alike')
    training, measured = split(photos, wanted.held_out)
    unit = _imitates_unit_length(training, wanted.images, tagger)
    folder.mkdir(parents=True, exist_ok=True)
    labels, bank, new = vocabulary(own, concepts, tagger, wanted.only_own)
    rows = {name.casefold(): row for row, name in enumerate(labels.names)}
    _write_lines(folder / "tags.txt", labels.names)
    _write_lines(folder / "tags_zh.txt", labels.names_zh)
    _write_lines(folder / "thresholds.txt", map(str, labels.thresholds))
    _write_lines(folder / "annotated.txt", own)
    of = tagger.clip.config.architecture or tagger.config.name
    write_bank(folder / "labels.safetensors", labels.names, bank, of)
    entries = [_entry(photo, rows) for photo in training]
    text = json.dumps(entries, ensure_ascii=False, indent=0)
    (folder / "training.json").write_text(text + "\n", encoding="utf-8")
    judged = tags_of(measured)
    if judged:
        _write_lines(folder / "own_taglist.txt", judged)
        lines = (",".join([_cell(photo.path), *photo.tags]) for photo in measured)
        _write_lines(folder / "own_annots.txt", lines)
    recipe = _recipe(folder, wanted, len(training), bool(judged), unit)
    unjudged = tuple(tag for tag in own if tag not in judged)
    return Prepared(recipe, own, new, unjudged, len(training), len(measured))


def vocabulary(
    own: Sequence[str], concepts: Sequence[Concept], tagger: RamTagger, only_own: bool
) -> tuple[LabelSet, LabelBank, tuple[str, ...]]:
    """The model's tags and label embeddings with one's own behind them; and which of them are new.

    A tag that the model knows keeps its label embedding unless it is described anew.
    """
    labels, bank = tagger.labels, tagger.bank
    known = {name.casefold(): row for row, name in enumerate(labels.names)}
    described = {concept.name.casefold(): concept for concept in concepts}
    asked = [described.get(tag.casefold(), Concept(tag)) for tag in own]
    embedded = [c for c in asked if c.name.casefold() not in known or c.descriptions]
    replaced = {c.name.casefold() for c in embedded}
    names = own if only_own else labels.names
    kept = [known[name.casefold()] for name in names if name.casefold() not in replaced]
    parts = [bank.chosen(kept)] if kept else []
    parts += [build_bank(embedded, tagger.clip)] if embedded else []
    spelled = {tag.casefold(): tag for tag in own}
    joined = LabelSet(
        (*(labels.names[r] for r in kept), *(spelled[c.name.casefold()] for c in embedded)),
        (*(labels.names_zh[r] for r in kept), *(c.name_zh or "" for c in embedded)),
        (*(labels.thresholds[r] for r in kept), *(c.threshold for c in embedded)),
    )
    new = tuple(c.name for c in embedded if c.name.casefold() not in known)
    return joined, parts[0].joined(parts[1]) if len(parts) > 1 else parts[0], new


def _spelled_as_known(photos: Sequence[OwnPhoto], labels: LabelSet) -> list[OwnPhoto]:
    """The photos, their tags in the model's spelling where it knows them."""
    known = {name.casefold(): name for name in labels.names}
    return [
        replace(photo, tags=tuple(known.get(tag.casefold(), tag) for tag in photo.tags))
        for photo in photos
    ]


def _imitates_unit_length(photos: Sequence[OwnPhoto], images: Path, tagger: RamTagger) -> bool:
    """Whether the model's mean token was trained to be CLIP's embedding at unit length."""
    pictures = []
    for photo in photos:
        try:
            pictures.append(open_picture(images / photo.path))
        except UnreadablePicture:
            continue  # training counts and names it
        if len(pictures) == LOOKED_AT:
            break
    if not pictures:
        raise RecipeError(f"no photo of the table can be read below {images}: name --images")
    lengths = [float(np.linalg.norm(p.tokens[0])) for p in tagger.predict(pictures)]
    return float(np.median(lengths)) < BETWEEN_LENGTHS


def _entry(photo: OwnPhoto, rows: Mapping[str, int]) -> dict[str, object]:
    """An annotation as published ones are written."""
    captions = list(captions_of(photo))
    return {
        "image_path": photo.path,
        "caption": [text for text, _ in captions],
        "union_label_id": sorted(rows[tag.casefold()] for tag in photo.tags),
        "parse_label_id": [[rows[tag.casefold()] for tag in named] for _, named in captions],
    }


def captions_of(photo: OwnPhoto) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Texts about a photo, each with the tags that it names."""
    if photo.caption:
        yield photo.caption, tuple(tag for tag in photo.tags if _names(photo.caption, tag))
    elif not photo.tags:
        yield "a photo", ()
    else:
        *others, last = photo.tags
        together = f"{', '.join(others)} and {last}" if others else last
        for template in CAPTIONS:
            yield template.format(together), photo.tags


def _names(caption: str, tag: str) -> bool:
    """Whether a tag stands in a caption, as words of its own."""
    return re.search(rf"\b{re.escape(tag)}\b", caption, re.IGNORECASE) is not None


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _cell(path: str) -> str:
    return '"' + path.replace('"', '""') + '"' if set(path) & {",", '"'} else path


def _recipe(folder: Path, wanted: FineTuning, training: int, measured: bool, unit: bool) -> Recipe:
    steps = max(1, round(wanted.epochs * training / wanted.pictures))
    part = 1 / wanted.pictures
    evaluation = Evaluation(
        OWN, folder / "own_taglist.txt", folder / "own_annots.txt", wanted.images
    )
    recipe = Recipe(
        name=folder.name.removesuffix("-data"),
        seed=wanted.seed,
        beginning=Beginning(model=wanted.model),
        labels=Labels(
            bank=folder / "labels.safetensors",
            tags=folder / "tags.txt",
            tags_zh=folder / "tags_zh.txt",
            thresholds=folder / "thresholds.txt",
            annotated=folder / "annotated.txt",
        ),
        data=Data((folder / "training.json",), wanted.images, workers=wanted.workers),
        augmentation=Augmentation(smallest_crop=0.8, flip=True),
        schedule=Steps(
            pictures=wanted.pictures,
            at_once=min(8, wanted.pictures),
            steps=steps,
            rate=wanted.rate,
            warm_up=min(50, steps // 10),
            largest_gradient=1.0,
            fixed_statistics=True,
            freeze_encoder=not wanted.whole,
        ),
        loss=Loss(part, float(wanted.whole), part, part, unit_target=unit, spare_holding=True),
        evaluations=(evaluation,) if measured else (),
        output=Output(
            report_every=max(1, steps // 15),
            evaluate_every=max(1, steps // 4),
            save_every=max(1, steps // 10),
            thresholds_from=OWN if measured else "",
        ),
    )
    return Recipe.from_json(recipe.to_json(), "the options")  # checked as one that is read
