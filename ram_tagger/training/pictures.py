"""Annotated pictures as triplets: drawn by a seed, read by worker processes, bad ones replaced."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ram_tagger.clip import Tokenizer
from ram_tagger.config import ClipConfig
from ram_tagger.errors import RecipeError, UnreadablePicture
from ram_tagger.pixels import middle_square, squeezed
from ram_tagger.predict import batched, open_picture
from ram_tagger.training.annotations import Annotation, Annotations
from ram_tagger.training.captions import clean_caption
from ram_tagger.training.clip_cache import ClipCache
from ram_tagger.training.recipe import Augmentation
from ram_tagger.training.triplets import Share, Skipped, Triplets, padded

TRIES = 50
"""Pictures tried for one place in a batch before giving up."""

Key = tuple[int, int]
"""An epoch and the row of an annotation."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture as a worker prepared it."""

    pixels: Tensor  # 3 H W, uint8
    seen: Tensor  # 3 h w, uint8, or D, float32
    caption: str | Tensor  # or its embedding, D
    tags: tuple[int, ...]
    stated: tuple[int, ...]
    skipped: tuple[Skipped, ...]


class AnnotatedPictures(Dataset[Sample]):
    """Pictures by (epoch, row): the same key gives the same crop and caption, in any process."""

    def __init__(
        self,
        annotations: Annotations,
        images: Path,
        clip: ClipConfig,
        augment: Callable[[Image.Image], Image.Image],
        seed: int,
        cache: ClipCache | None,
    ) -> None:
        self.annotations, self.images, self.clip, self.seed = annotations, images, clip, seed
        self._augment, self._cache = augment, cache

    def __getitem__(self, key: Key) -> Sample:
        """Raises RecipeError where not one of many pictures can be read."""
        epoch, row = key
        chance = np.random.default_rng((self.seed, epoch, row))
        skipped: list[Skipped] = []
        for _ in range(TRIES):
            annotation: Annotation = self.annotations[row]
            try:
                picture = self._open(row, annotation)
            except UnreadablePicture as error:
                skipped.append(Skipped(annotation.path, str(error)))
                row = int(chance.integers(len(self.annotations)))
                continue
            return self._sample(row, annotation, picture, chance, tuple(skipped))
        raise RecipeError(
            f"none of {TRIES} pictures could be read; the first: {skipped[0].reason}; "
            "is the images folder right?"
        )

    def _open(self, row: int, annotation: Annotation) -> Image.Image:
        picture = open_picture(self.images / annotation.path)
        if self._cache is not None and np.isnan(self._cache.pictures[row, 0]):
            raise UnreadablePicture(
                f"{self.images / annotation.path}: could not be read when the CLIP cache was filled"
            )
        return picture

    def _sample(
        self,
        row: int,
        annotation: Annotation,
        picture: Image.Image,
        chance: np.random.Generator,
        skipped: tuple[Skipped, ...],
    ) -> Sample:
        drawn = int(chance.integers(len(annotation.captions)))
        with torch.random.fork_rng(devices=()):  # torchvision draws from torch's own chance
            torch.manual_seed(int(chance.integers(2**31)))
            pixels = _bytes(self._augment(picture))
        seen, caption = self._for_clip(row, drawn, annotation.captions[drawn], picture)
        return Sample(pixels, seen, caption, annotation.tags, annotation.stated[drawn], skipped)

    def _for_clip(
        self, row: int, drawn: int, caption: str, picture: Image.Image
    ) -> tuple[Tensor, str | Tensor]:
        if self._cache is None:
            return _bytes(middle_square(picture, self.clip.image_size)), clean_caption(caption)
        text = self._cache.captions[self.annotations.captions_of(row)[drawn]]
        return torch.tensor(self._cache.pictures[row]), torch.tensor(text)


@dataclass(frozen=True)
class PictureTriplets:
    """Annotation files and a folder of pictures as a source of triplets, epoch after epoch.

    Each epoch goes through all pictures in an order of its own; steps go on across its end.
    """

    dataset: AnnotatedPictures
    tags: int
    workers: int

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self.dataset.annotations)

    def steps_from(self, step: int, share: Share) -> Iterator[Sequence[Triplets]]:
        """This process's share of every step from this one on."""
        parts = -(-share.own // share.at_once)
        loader = DataLoader(
            self.dataset,
            batch_sampler=_Keys(self.keys_from(step, share)),
            collate_fn=self._collate,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_leave_signals_to_the_run,
        )
        return batched(_read(loader), parts)

    def keys_from(self, step: int, share: Share) -> Iterator[list[Key]]:
        """What each part of this process's share holds, step after step."""
        at = step * share.pictures + share.rank * share.own
        order = _Order(self.dataset.seed, self.pictures)
        while True:
            keys = [order.key(at + i) for i in range(share.own)]
            yield from batched(keys, share.at_once)
            at += share.pictures

    @cached_property
    def _tokenize(self) -> Tokenizer:
        return Tokenizer(self.dataset.clip)

    def _collate(self, samples: Sequence[Sample]) -> Triplets:
        targets = torch.zeros(len(samples), self.tags)
        for i, sample in enumerate(samples):
            targets[i, list(sample.tags)] = 1
        captions = [sample.caption for sample in samples]
        texts = [caption for caption in captions if isinstance(caption, str)]
        return Triplets(
            pixels=torch.stack([sample.pixels for sample in samples]),
            seen=torch.stack([sample.seen for sample in samples]),
            targets=targets,
            texts=self._tokenize(texts)
            if texts
            else torch.stack([c for c in captions if isinstance(c, Tensor)]),
            owners=torch.arange(len(samples)),
            stated=padded([sample.stated for sample in samples]),
            true=padded([sample.tags for sample in samples]),
            skipped=tuple(skip for sample in samples for skip in sample.skipped),
        )


def augmentation(recipe: Augmentation, size: int) -> Callable[[Image.Image], Image.Image]:
    """A function from a picture to the square that the network is to see, drawn by torch's chance.

    Without any change it is the square that tagging sees.
    """
    changes: list[Callable[[Image.Image], Image.Image]] = [partial(squeezed, size=size)]
    if recipe.smallest_crop < 1:
        scale = (recipe.smallest_crop, 1.0)
        bicubic = v2.InterpolationMode.BICUBIC
        changes = [v2.RandomResizedCrop(size, scale=scale, interpolation=bicubic)]
    if recipe.flip:
        changes.append(v2.RandomHorizontalFlip())
    if recipe.operations:
        changes.append(v2.RandAugment(recipe.operations, recipe.strength))
    return _Changes(tuple(changes))


@dataclass(frozen=True, slots=True)
class _Changes:
    changes: tuple[Callable[[Image.Image], Image.Image], ...]

    def __call__(self, picture: Image.Image) -> Image.Image:
        for change in self.changes:
            picture = change(picture)
        return picture


def _read(loader: DataLoader[Sample]) -> Iterator[Triplets]:
    try:
        yield from loader
    except RecipeError as error:
        # A worker's message has the worker's traceback before it, and torch ties its own traceback
        # to the loader: workers that are ended by the garbage collector take seconds to end.
        error.__traceback__ = None
        raise RecipeError(str(error).strip().rpartition("RecipeError: ")[2]) from None


def _leave_signals_to_the_run(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; a reader goes when the run lets go of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Keys:
    """A batch sampler without an end."""

    def __init__(self, keys: Iterator[list[Key]]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[list[Key]]:
        return self._keys


class _Order:
    """Places in an endless row of epochs, each a permutation of all pictures."""

    def __init__(self, seed: int, pictures: int) -> None:
        self._seed, self._pictures = seed, pictures
        self._epoch, self._rows = -1, np.empty(0, np.int64)

    def key(self, place: int) -> Key:
        epoch, at = divmod(place, self._pictures)
        if epoch != self._epoch:
            order = np.random.default_rng((self._seed, epoch))
            self._epoch, self._rows = epoch, order.permutation(self._pictures)
        return epoch, int(self._rows[at])


def _bytes(picture: Image.Image) -> Tensor:
    """(3, height, width) uint8."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).contiguous()
