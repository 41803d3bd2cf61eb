"""Drawn scenes in place of annotation files, for recipes that say `scenes = true`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image

from photoindex.tagger import Concept
from ram_tagger.checkpoint import ModelParts
from ram_tagger.clip import Clip
from ram_tagger.config import ModelConfig, RamConfig
from ram_tagger.evaluation.benchmark import Benchmark
from ram_tagger.label_bank import build_bank, open_clip_of
from ram_tagger.sketch.batches import Scenes, tag_matrix
from ram_tagger.sketch.descriptions import describe
from ram_tagger.sketch.recipe import SIZE
from ram_tagger.sketch.scenes import make_scene, picture_at
from ram_tagger.sketch.trial import Trial, make_trial
from ram_tagger.sketch.vocabulary import tags
from ram_tagger.training.materials import DEFAULT_THRESHOLD, Materials, fresh_network
from ram_tagger.training.recipe import Recipe
from ram_tagger.vocabulary import LabelSet

CAPTIONS, WRONG = 2, 0.5
"""Captions of each picture, and the part of the pictures for which a wrong one is made up."""
VALIDATED = 2000
"""Scenes on which the thresholds are chosen."""
VALIDATION, TRIAL, HELD_OUT = "validation", "trial", "held-out"


def drawn_materials(
    recipe: Recipe, clip: Clip | None = None, validated: int = VALIDATED
) -> Materials:
    """What a recipe on drawn scenes begins with; its vocabulary is the bundled model's.

    clip: the teacher, where it is not what the recipe names.
    Measured are the tags and the held-out concepts of the trial; thresholds are chosen on scenes
    drawn for this alone. Needs the emoji font and CLDR. Raises CheckpointError.
    """
    clip = clip or open_clip_of(recipe.clip or "sketch")
    torch.manual_seed(recipe.seed)
    config = recipe.network.on(RamConfig(embedding_width=clip.config.embedding_width))
    network = fresh_network(config, recipe.beginning.backbone, clip)
    names = tags()
    bank = build_bank([Concept(name, describe(name)) for name in names], clip)
    limits = (DEFAULT_THRESHOLD,) * len(names)
    labels = LabelSet(tuple(names), tuple(names.values()), limits)
    parts = ModelParts(
        ModelConfig(recipe.name, config, clip.config), network, clip.network, labels, bank
    )
    source = Scenes(clip.config, recipe.seed + 1, CAPTIONS, wrong=WRONG)
    trial, pictures = make_trial()
    benchmarks: tuple[Benchmark, ...] = (
        tag_benchmark(trial, pictures),
        held_out_benchmark(trial, pictures),
    )
    if recipe.output.thresholds_from == VALIDATION:
        benchmarks = (validation(recipe.seed + 2, validated), *benchmarks)
    return Materials(parts, source, benchmarks)


def tag_benchmark(trial: Trial, pictures: Sequence[Image]) -> Benchmark:
    """The trial's scenes and all tags."""
    return _benchmark(TRIAL, pictures, tuple(tags()), trial.tags)


def held_out_benchmark(trial: Trial, pictures: Sequence[Image]) -> Benchmark:
    """The trial's scenes and the drawings that are no tags, by their descriptions."""
    concepts = tuple(Concept(name, tuple(texts)) for name, texts in trial.concepts.items())
    return _benchmark(HELD_OUT, pictures, tuple(trial.concepts), trial.shown, concepts)


def validation(seed: int, count: int) -> Benchmark:
    """Scenes of a seed of their own, and all tags."""
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng) for _ in range(count)]
    pictures = tuple(picture_at(scene, SIZE, rng) for scene in scenes)
    names = tuple(tags())
    truth = tag_matrix(scenes, names).numpy().astype(bool)
    return Benchmark(VALIDATION, pictures, _called(pictures), names, truth, ())


def _benchmark(
    name: str,
    pictures: Sequence[Image],
    asked: tuple[str, ...],
    shown: Sequence[Sequence[str]],
    concepts: tuple[Concept, ...] = (),
) -> Benchmark:
    truth = np.array([[tag in names for tag in asked] for names in shown])
    return Benchmark(name, tuple(pictures), _called(pictures), asked, truth, concepts)


def _called(pictures: Sequence[Image]) -> tuple[str, ...]:
    return tuple(f"scene-{number:04}" for number in range(len(pictures)))
