"""What a recipe names, opened: the model to begin with, the triplets, the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from photoindex.tagger import Progress
from ram_tagger import checkpoint, model_folder
from ram_tagger.checkpoint import ModelParts
from ram_tagger.clip import Clip
from ram_tagger.config import ModelConfig, RamConfig
from ram_tagger.convert import read_published
from ram_tagger.errors import CheckpointError, RecipeError
from ram_tagger.evaluation.benchmark import Benchmark, read_benchmark
from ram_tagger.label_bank import open_clip_of, read_bank
from ram_tagger.labels import LabelBank
from ram_tagger.model import RamPlus
from ram_tagger.published import fit, swin_names
from ram_tagger.stopping import Stopping
from ram_tagger.training.annotations import read_annotations
from ram_tagger.training.clip_cache import facts_of, fill_cache, open_cache
from ram_tagger.training.pictures import AnnotatedPictures, PictureTriplets, augmentation
from ram_tagger.training.processes import Processes
from ram_tagger.training.recipe import Labels, Recipe
from ram_tagger.training.teacher import Teacher
from ram_tagger.training.triplets import TripletSource
from ram_tagger.vocabulary import LabelSet

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Materials:
    """Everything that a run begins with."""

    model: ModelParts
    source: TripletSource
    evaluations: tuple[Benchmark, ...]


def beginning(recipe: Recipe) -> ModelParts:
    """The model that training begins with: another one's weights, or fresh ones by the seed.

    Raises CheckpointError, RecipeError.
    """
    start = recipe.beginning.model
    torch.manual_seed(recipe.seed)
    if start is not None:
        return _continued(recipe, start)
    if not recipe.clip:
        raise RecipeError(
            "clip: give CLIP's weights (ViT-B-16.pt), a model folder with a CLIP, or sketch"
        )
    clip = open_clip_of(recipe.clip)
    width = clip.config.embedding_width
    config = recipe.network.on(RamConfig(embedding_width=width))
    if config.embedding_width != width:
        raise RecipeError(
            f"network.embedding_width: {config.embedding_width}, but CLIP's is {width}"
        )
    labels, bank = named_labels(recipe.labels)
    network = fresh_network(config, recipe.beginning.backbone, clip)
    return ModelParts(
        ModelConfig(recipe.name, config, clip.config), network, clip.network, labels, bank
    )


def fresh_network(config: RamConfig, backbone: str, clip: Clip) -> RamPlus:
    """A new network whose backbone begins as `recipe.Beginning` says. Raises CheckpointError."""
    network = RamPlus(config)
    if backbone == "clip":
        _begin_as_clip(network, clip.network)
    elif backbone:
        state = swin_names(checkpoint.read_checkpoint(Path(backbone)))
        wanted = {k: v.shape for k, v in network.encoder.backbone.state_dict().items()}
        network.encoder.backbone.load_state_dict(fit(state, wanted))
    return network


def named_labels(named: Labels) -> tuple[LabelSet, LabelBank]:
    """The vocabulary and label embeddings that a recipe names.

    Raises CheckpointError, RecipeError.
    """
    if named.bank is None:
        raise RecipeError("labels.bank: give what ram-tagger label-bank wrote")
    tags = model_folder.read_lines(named.tags) if named.tags else None
    names, bank = read_bank(named.bank, tags)
    chinese = model_folder.read_lines(named.tags_zh) if named.tags_zh else ("",) * len(names)
    limits = (
        model_folder.read_thresholds(named.thresholds)
        if named.thresholds
        else (DEFAULT_THRESHOLD,) * len(names)
    )
    return LabelSet(names, chinese, limits), bank


def read_materials(
    recipe: Recipe, processes: Processes, progress: Progress, stop: Stopping, fill: bool
) -> Materials:
    """What a recipe on annotation files names.

    fill: compute the CLIP cache that it names, as far as it is not there yet. Raises
    CheckpointError, RecipeError, ConceptError; Ended when asked to stop meanwhile.
    """
    model = beginning(recipe)
    annotations = read_annotations(recipe.data.annotations, len(model.labels))
    clip, cache = Clip(model.config.clip, model.clip), recipe.data.clip_cache
    filled = None
    if cache is not None:
        teacher = Teacher(clip, processes.device)
        facts = facts_of(annotations, recipe.data.images, teacher)
        if fill and processes.size > 1:
            raise RecipeError(
                "fill the CLIP cache with one process first: the same command without torchrun, "
                "with --cache-only"
            )
        if fill:
            fill_cache(cache, facts, annotations, recipe.data.images, teacher, progress, stop)
        filled = open_cache(cache, facts, annotations)
    size = model.network.config.image_size
    augment = augmentation(recipe.augmentation, size)
    dataset = AnnotatedPictures(
        annotations, recipe.data.images, clip.config, augment, recipe.seed, filled
    )
    source = PictureTriplets(dataset, len(model.labels), recipe.data.workers)
    return Materials(model, source, read_evaluations(recipe))


def read_evaluations(recipe: Recipe) -> tuple[Benchmark, ...]:
    """The benchmarks that a recipe names."""
    return tuple(
        replace(read_benchmark(e.tag_list, e.annotations, e.images, e.descriptions), name=e.name)
        for e in recipe.evaluations
    )


def _continued(recipe: Recipe, start: Path) -> ModelParts:
    if start.is_dir():
        config = model_folder.load_config(start)
        ram = recipe.network.on(config.ram)
        clip = open_clip_of(recipe.clip or str(start))
        model = ModelParts(
            replace(config, name=recipe.name, ram=ram, clip=clip.config),
            checkpoint.load_network(start, ram),
            clip.network,
            model_folder.load_labels(start),
            checkpoint.load_bank(start),
        )
    else:
        model = read_published(
            start, recipe.name, Path(recipe.clip) if recipe.clip else None, None, recipe.network.on
        )
    if recipe.labels.bank is not None:
        labels, bank = named_labels(recipe.labels)
        model = replace(model, labels=labels, bank=bank)
    _in_memory(model.network)
    return model


def _in_memory(network: nn.Module) -> None:
    """Weights that are mapped from a file cannot be written to."""
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    for buffer in network.buffers():
        buffer.data = buffer.data.clone()


def _begin_as_clip(network: RamPlus, clip: nn.Module) -> None:
    visual = cast(Any, clip).visual
    if not hasattr(visual, "trunk"):
        raise CheckpointError(
            "beginning.backbone = clip needs a CLIP whose image tower is the same timm backbone"
        )
    network.encoder.backbone.load_state_dict(visual.trunk.state_dict())
    network.encoder.image_proj.weight.data.copy_(visual.head.proj.weight)
    nn.init.zeros_(network.encoder.image_proj.bias)
