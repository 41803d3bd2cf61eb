"""The small files of a model folder: what it is and which tags it knows, read without torch.

A model folder holds `config.json`, `model.safetensors` (the network), `labels.safetensors`
(description embeddings and how many each tag has), `clip.safetensors`, and one line a tag in
`tags.txt`, `tags_zh.txt` and `thresholds.txt`.
"""

from __future__ import annotations

import json
from pathlib import Path

from ram_tagger.config import FORMAT, ModelConfig
from ram_tagger.errors import CheckpointError
from ram_tagger.vocabulary import LabelSet

CONFIG, NETWORK, LABELS, CLIP = (
    "config.json",
    "model.safetensors",
    "labels.safetensors",
    "clip.safetensors",
)
TAGS, TAGS_ZH, THRESHOLDS = "tags.txt", "tags_zh.txt", "thresholds.txt"


def load_config(folder: Path) -> ModelConfig:
    """`config.json` of a model folder. Raises CheckpointError."""
    try:
        table = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if table["format"] != FORMAT:
            raise CheckpointError(
                f"{folder} has format {table['format']}, read is format {FORMAT}: "
                "install a newer photoindex, or convert the weights again"
            )
        return ModelConfig.from_json(table)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} is no model folder: it has no {CONFIG}; make one with ram-tagger convert"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged: {error}") from error


def load_labels(folder: Path) -> LabelSet:
    """Tags, Chinese tags and thresholds of a model folder. Raises CheckpointError, ShapeError."""
    return read_labels(folder / TAGS, folder / TAGS_ZH, folder / THRESHOLDS)


def read_labels(tags: Path, tags_zh: Path, thresholds: Path) -> LabelSet:
    """A vocabulary from three files of one line a tag. Raises CheckpointError, ShapeError."""
    return LabelSet(read_lines(tags), read_lines(tags_zh), read_thresholds(thresholds))


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a vocabulary file, one a tag. Raises CheckpointError."""
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the tag list {path} cannot be read: {error}") from error


def read_thresholds(path: Path) -> tuple[float, ...]:
    """Thresholds, one a line. Raises CheckpointError."""
    try:
        limits = tuple(float(line) for line in read_lines(path))
    except ValueError as error:
        raise CheckpointError(f"the thresholds {path} cannot be read: {error}") from error
    outside = [number for number, limit in enumerate(limits, 1) if not 0 <= limit <= 1]
    if outside:
        raise CheckpointError(f"{path}: line {outside[0]} is no threshold between 0 and 1")
    return limits
