"""Batches of scenes for training, drawn in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ram_tagger.clip import UNKNOWN, Tokenizer
from ram_tagger.config import ClipConfig
from ram_tagger.sketch.captions import (
    OPENINGS,
    Caption,
    make_caption,
    make_short_caption,
    scene_facts,
)
from ram_tagger.sketch.scenes import Scene, make_scene, picture_at, scene_tags
from ram_tagger.sketch.vocabulary import drawings, tags

FORGOTTEN = 0.04
"""The part of the tokens that training hides, so that a word never seen does little harm."""
NONSENSE = ("parliament", "qzxv")
"""Words of which the text tower knows no part: one token, several tokens."""


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """Scenes as tensors. Every picture has the same number of captions, one after another.

    After them may come captions that no picture owns.
    """

    pixels: Tensor  # B 3 H W, uint8
    tags: Tensor  # B C, float32, 0 or 1
    texts: Tensor  # T L, token ids
    own: Tensor  # B T, bool: which captions were written for which picture
    holds: Tensor  # B T, bool: which captions are true of which picture


class SceneBatches(IterableDataset[SceneBatch]):
    """Endless batches; equal seeds give equal scenes.

    Simple scenes show one drawing. With `captions` = 2 the second one is short. `wrong` captions
    follow: most tell of a scene of the batch with one drawing exchanged, some of unknown things.
    """

    def __init__(
        self,
        config: ClipConfig,
        seed: int,
        size: int,
        captions: int,
        simple: bool = False,
        wrong: int = 0,
    ) -> None:
        self.config, self.seed, self.size = config, seed, size
        self.captions, self.simple, self.wrong = captions, simple, wrong

    def __iter__(self) -> Iterator[SceneBatch]:
        rng = np.random.default_rng(self.seed)
        tokenize = Tokenizer(self.config)
        names, known = tuple(drawings()), tuple(tags())
        while True:
            scenes = [
                make_scene(rng, [names[int(rng.integers(len(names)))]] if self.simple else ())
                for _ in range(self.size)
            ]
            captions = [c for scene in scenes for c in self._captions(rng, scene)]
            captions += [wrong_caption(rng, scene) for scene in scenes[: self.wrong]]
            pictures = [np.asarray(picture_at(s, self.config.image_size, rng)) for s in scenes]
            ids = tokenize([c.text for c in captions])
            own = torch.zeros(len(scenes), len(captions), dtype=torch.bool)
            for i in range(self.size):
                own[i, i * self.captions : (i + 1) * self.captions] = True
            yield SceneBatch(
                torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(),
                tag_matrix(scenes, known),
                _forget(ids, rng),
                own,
                _holding(scenes, captions),
            )

    def loader(self) -> Iterator[SceneBatch]:
        """The batches, drawn ahead by one background process."""
        return iter(DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=4))

    def _captions(self, rng: Generator, scene: Scene) -> list[Caption]:
        shorts = [make_short_caption(rng, scene) for _ in range(self.captions - 1)]
        return [make_caption(rng, scene), *shorts]


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


def _holding(scenes: Sequence[Scene], captions: Sequence[Caption]) -> Tensor:
    facts = [scene_facts(scene) for scene in scenes]
    return torch.tensor([[caption.facts <= true for caption in captions] for true in facts])


def _forget(ids: Tensor, rng: Generator) -> Tensor:
    """Hide some tokens, but never padding, the first or the last one (the largest id)."""
    inner = (ids > UNKNOWN) & (ids < ids.max() - 1)
    hidden = torch.from_numpy(rng.random(tuple(ids.shape)) < FORGOTTEN)
    return torch.where(inner & hidden, UNKNOWN, ids)
