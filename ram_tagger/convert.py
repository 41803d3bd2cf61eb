"""A published checkpoint, its tag lists and CLIP's weights, made into one model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ram_tagger import checkpoint
from ram_tagger.checkpoint import ModelParts
from ram_tagger.config import ClipConfig, ModelConfig, RamConfig
from ram_tagger.errors import CheckpointError
from ram_tagger.model_folder import read_labels
from ram_tagger.published import infer_config
from ram_tagger.vocabulary import LabelSet

PUBLISHED_TAGS = ("ram_tag_list.txt", "ram_tag_list_chinese.txt", "ram_tag_list_threshold.txt")
PUBLISHED_CLIP = "ViT-B-16.pt"


def read_published(
    weights: Path,
    name: str,
    clip_weights: Path | None = None,
    tag_lists: Path | None = None,
    sizes: Callable[[RamConfig], RamConfig] = lambda own: own,
) -> ModelParts:
    """The model that published files make.

    weights: a RAM++ `.pth`; clip_weights: OpenAI's ViT-B/16 (`ViT-B-16.pt`, or the same as
    safetensors), by default beside the weights; tag_lists: the folder of the three published
    vocabulary files, by default the weights' own; sizes: what to make of the weights' own sizes,
    for another image size. Raises CheckpointError, ShapeError.
    """
    state = checkpoint.read_checkpoint(weights)
    clip_weights = clip_weights or _clip_beside(weights)
    labels = _published_labels(tag_lists or weights.parent)
    network, embeddings = checkpoint.ram_from_checkpoint(state, sizes(infer_config(state)))
    bank = checkpoint.label_bank(embeddings, len(labels))
    clip_config = ClipConfig()
    clip = checkpoint.clip_from_checkpoint(checkpoint.read_checkpoint(clip_weights), clip_config)
    return ModelParts(ModelConfig(name, network.config, clip_config), network, clip, labels, bank)


def convert(
    weights: Path,
    folder: Path,
    name: str,
    clip_weights: Path | None = None,
    tag_lists: Path | None = None,
) -> ModelConfig:
    """Write a model folder from published files, named as for `read_published`.

    Raises CheckpointError, ShapeError.
    """
    return checkpoint.save_model_folder(
        folder, read_published(weights, name, clip_weights, tag_lists)
    )


def weights_in(source: Path) -> Path:
    """The checkpoint file that a path means: itself, or the one `.pth` of a folder.

    Raises CheckpointError.
    """
    if source.is_file():
        return source
    found = sorted(source.glob("*.pth"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise CheckpointError(f"{source}: expected one .pth in the folder, found {names}")


def _clip_beside(weights: Path) -> Path:
    for name in (PUBLISHED_CLIP, "ViT-B-16.safetensors"):
        if (weights.parent / name).is_file():
            return weights.parent / name
    raise CheckpointError(
        f"CLIP's weights {PUBLISHED_CLIP} are not beside {weights}: put them there, or name them"
    )


def _published_labels(folder: Path) -> LabelSet:
    missing = [name for name in PUBLISHED_TAGS if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"the tag lists are not in {folder}: {', '.join(missing)} missing; put them there"
        )
    tags, tags_zh, thresholds = (folder / name for name in PUBLISHED_TAGS)
    return read_labels(tags, tags_zh, thresholds)
