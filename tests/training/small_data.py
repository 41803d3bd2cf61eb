"""A folder of small pictures of several kinds, their annotations, and triplets of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ram_tagger.model_folder import load_config
from ram_tagger.sources import BUNDLED
from ram_tagger.training.annotations import Annotation, Annotations
from ram_tagger.training.clip_cache import ClipCache
from ram_tagger.training.pictures import AnnotatedPictures, PictureTriplets, augmentation
from ram_tagger.training.recipe import Augmentation
from ram_tagger.training.triplets import Share, Triplets

TAGS, SIZE, PICTURES = 6, 48, 12
THINGS = ("cat", "dog", "tree", "sun", "apple", "car", "house", "bird", "fish", "moon")
SAID = ("a red ball", "a blue boat", "two green leaves")
CONFIG = load_config(BUNDLED)
LIVELY = Augmentation(smallest_crop=0.3, flip=True, operations=2, strength=9)
AS_IT_IS = Augmentation()


@dataclass(frozen=True, slots=True)
class SmallData:
    """Annotations and the folder that their paths are relative to."""

    images: Path
    annotations: Annotations

    def triplets(
        self,
        changes: Augmentation = LIVELY,
        workers: int = 0,
        seed: int = 0,
        cache: ClipCache | None = None,
    ) -> PictureTriplets:
        """The source that training reads."""
        augment = augmentation(changes, SIZE)
        dataset = AnnotatedPictures(
            self.annotations, self.images, CONFIG.clip, augment, seed, cache
        )
        return PictureTriplets(dataset, TAGS, workers)


def annotation(row: int, path: str) -> Annotation:
    """One to three captions, all different; tags and facts that no other row has just so."""
    thing = THINGS[row % len(THINGS)]
    captions = tuple(f"A {thing} and {SAID[way]}." for way in range(1 + row % 3))
    tags = tuple(tag for tag in range(TAGS) if (row + 1) >> tag & 1)
    stated = tuple(tags[:way] for way in range(len(captions)))
    return Annotation(path, captions, tags, stated)


def write_picture(path: Path, row: int) -> None:
    """Noise of its own, of another size and mode in every row."""
    chance = np.random.default_rng(row)
    shape = (40 + 7 * row, 90 - 5 * row, 3)
    picture = Image.fromarray(chance.integers(0, 256, shape, np.uint8))
    picture.convert(("RGB", "L", "RGB", "P")[row % 4]).save(path)


def write_small_data(folder: Path) -> SmallData:
    """Pictures in two folders, in PNG and JPEG."""
    (folder / "inner").mkdir()
    rows = []
    for row in range(PICTURES):
        name = f"{'inner/' if row % 2 else ''}{row}.{'jpg' if row % 4 == 2 else 'png'}"
        write_picture(folder / name, row)
        rows.append(annotation(row, name))
    return SmallData(folder, Annotations(rows))


def steps(source: PictureTriplets, share: Share, many: int, first: int = 0) -> list[list[Triplets]]:
    """Some steps, each in its parts."""
    taken: Iterator[Sequence[Triplets]] = source.steps_from(first, share)
    return [list(parts) for parts in islice(taken, many)]


def same(ours: Triplets, theirs: Triplets) -> bool:
    """Whether nothing at all differs."""
    pairs = [(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(ours)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
