"""Batches of scenes for training, drawn in a process of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ram_tagger.clip import UNKNOWN, Tokenizer
from ram_tagger.config import ClipConfig
from ram_tagger.predict import batched
from ram_tagger.sketch.captions import (
    OPENINGS,
    Caption,
    make_caption,
    make_short_caption,
    scene_facts,
)
from ram_tagger.sketch.scenes import Scene, make_scene, picture_at, scene_tags
from ram_tagger.sketch.vocabulary import drawings, tags
from ram_tagger.training.triplets import NOBODY, Share, Triplets, padded

FORGOTTEN = 0.04
"""The part of the tokens that training hides, so that a word never seen does little harm."""
NONSENSE = ("parliament", "qzxv")
"""Words of which the text tower knows no part: one token, several tokens."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Scenes without end as triplets; equal seeds give equal scenes.

    Simple scenes show one drawing. With `captions` = 2 the second one is short. For `wrong`, a part
    of the pictures, captions follow that no picture owns: most tell of a scene of the batch with
    one drawing exchanged, some of unknown things. CLIP sees what the network sees.
    """

    config: ClipConfig
    seed: int
    captions: int
    simple: bool = False
    wrong: float = 0.0

    @property
    def pictures(self) -> int:
        """They never end."""
        return 0

    def steps_from(self, step: int, share: Share) -> Iterator[Sequence[Triplets]]:
        """This process's share of every step, drawn ahead by one background process."""
        drawn = _Drawn(self, step, share)
        return iter(DataLoader(drawn, batch_size=None, num_workers=1, prefetch_factor=4))

    def draw(self, rng: Generator, size: int, tokenize: Tokenizer) -> Triplets:
        """Scenes with every picture's captions one after another, then the wrong ones."""
        names = tuple(drawings())
        scenes = [
            make_scene(rng, [names[int(rng.integers(len(names)))]] if self.simple else ())
            for _ in range(size)
        ]
        captions = [c for scene in scenes for c in self._captions(rng, scene)]
        captions += [wrong_caption(rng, scene) for scene in scenes[: round(size * self.wrong)]]
        pictures = [np.asarray(picture_at(s, self.config.image_size, rng)) for s in scenes]
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
        owners = torch.full((len(captions),), NOBODY)
        owners[: size * self.captions] = torch.arange(size).repeat_interleave(self.captions)
        return Triplets(
            pixels=pixels,
            seen=pixels,
            targets=tag_matrix(scenes, tuple(tags())),
            texts=_forget(tokenize([c.text for c in captions]), rng),
            owners=owners,
            stated=padded([_numbers(caption.facts) for caption in captions]),
            true=padded([_numbers(scene_facts(scene)) for scene in scenes]),
        )

    def _captions(self, rng: Generator, scene: Scene) -> list[Caption]:
        shorts = [make_short_caption(rng, scene) for _ in range(self.captions - 1)]
        return [make_caption(rng, scene), *shorts]


class _Drawn(IterableDataset[list[Triplets]]):
    """One process's share of step after step, each drawn from a seed of its own."""

    def __init__(self, scenes: Scenes, step: int, share: Share) -> None:
        self._scenes, self._step, self._share = scenes, step, share

    def __iter__(self) -> Iterator[list[Triplets]]:
        tokenize, share = Tokenizer(self._scenes.config), self._share
        for step in count(self._step):
            rng = np.random.default_rng((self._scenes.seed, step, share.rank))
            sizes = [len(part) for part in batched(range(share.own), share.at_once)]
            yield [self._scenes.draw(rng, size, tokenize) for size in sizes]


def wrong_caption(rng: Generator, scene: Scene) -> Caption:
    """A caption that is almost true of a scene, or one about something that nobody knows."""
    if rng.random() < 0.25:
        things = " ".join(NONSENSE[i] for i in rng.integers(len(NONSENSE), size=rng.integers(1, 3)))
        opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
        return Caption(f"{opening}{('', 'a ')[int(rng.integers(2))]}{things}", frozenset(NONSENSE))
    absent = [name for name in drawings() if name not in scene.names]
    placements = list(scene.placements)
    at = int(rng.integers(len(placements)))
    placements[at] = replace(placements[at], name=absent[int(rng.integers(len(absent)))])
    return make_caption(rng, replace(scene, placements=tuple(placements)))


def tag_matrix(scenes: Sequence[Scene], known: Sequence[str]) -> Tensor:
    """(scenes, tags) float32: 1 where a tag is true."""
    true = [scene_tags(scene) for scene in scenes]
    return torch.tensor([[float(tag in t) for tag in known] for t in true])


def _numbers(facts: Iterable[str]) -> list[int]:
    return sorted(map(_number, facts))


@cache
def _number(fact: str) -> int:
    """The same number for the same fact in every process; never NOBODY."""
    return int.from_bytes(hashlib.blake2b(fact.encode(), digest_size=7).digest(), "little")


def _forget(ids: Tensor, rng: Generator) -> Tensor:
    """Hide some tokens, but never padding, the first or the last one (the largest id)."""
    inner = (ids > UNKNOWN) & (ids < ids.max() - 1)
    hidden = torch.from_numpy(rng.random(tuple(ids.shape)) < FORGOTTEN)
    return torch.where(inner & hidden, UNKNOWN, ids)
