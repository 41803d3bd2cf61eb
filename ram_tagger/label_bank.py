"""Label banks on disk: the frozen description embeddings that a training reads.

A bank is a safetensors file with `embeddings` (descriptions of all tags, width) float32 and
`counts` (tags,) int64; its metadata hold the tags' names and the CLIP that read the descriptions.
The published bank, a `.pth` with one tensor of equal counts, is read too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from photoindex.tagger import Concept, Progress, no_progress
from ram_tagger.checkpoint import (
    clip_from_checkpoint,
    label_bank,
    load_clip,
    read_checkpoint,
    read_tensor,
)
from ram_tagger.clip import Clip
from ram_tagger.config import ClipConfig
from ram_tagger.errors import CheckpointError
from ram_tagger.labels import LabelBank
from ram_tagger.model_folder import load_config, read_lines
from ram_tagger.sources import BUNDLED
from ram_tagger.templates import describe

TAGS_AT_ONCE = 64
"""Tags whose descriptions are embedded between two reports of progress."""


def open_clip_of(source: str) -> Clip:
    """The CLIP of a model folder, of OpenAI's `ViT-B-16.pt`, or of the bundled model (`sketch`).

    Raises CheckpointError.
    """
    path = BUNDLED if source == "sketch" else Path(source)
    if path.is_dir():
        config = load_config(path).clip
        return Clip(config, load_clip(path, config))
    config = ClipConfig()
    return Clip(config, clip_from_checkpoint(read_checkpoint(path), config))


def chosen_concepts(concepts: Sequence[Concept], tags: Path) -> list[Concept]:
    """The concepts that a tag list names, in its order. Raises CheckpointError."""
    described = {concept.name.casefold(): concept for concept in concepts}
    names = [name for name in read_lines(tags) if name]
    if not names:
        raise CheckpointError(f"{tags} names no tag: write one a line")
    missing = [name for name in names if name.casefold() not in described]
    if missing:
        raise CheckpointError(
            f"{len(missing)} tags of {tags} are not described, the first is {missing[0]}: "
            "ram-tagger describe writes descriptions"
        )
    return [replace(described[name.casefold()], name=name) for name in names]


def build_bank(
    concepts: Sequence[Concept], clip: Clip, progress: Progress = no_progress
) -> LabelBank:
    """Every description embedded and normalised by itself, tag after tag."""
    parts: list[Tensor] = []
    counts: list[int] = []
    for start in range(0, len(concepts), TAGS_AT_ONCE):
        texts = [describe(concept) for concept in concepts[start : start + TAGS_AT_ONCE]]
        parts.append(clip.embed_text([text for of_one in texts for text in of_one]).cpu())
        counts += map(len, texts)
        progress("embedding descriptions", len(counts), len(concepts))
    return LabelBank(torch.cat(parts), torch.tensor(counts))


def write_bank(path: Path, names: Sequence[str], bank: LabelBank, clip: str) -> None:
    """Write a bank; `clip` says in words whose embeddings they are. Raises CheckpointError."""
    aside = path.with_name(f".{path.name}.part")
    tensors = {"embeddings": bank.embeddings.float().contiguous(), "counts": bank.counts}
    try:
        save_file(tensors, aside, {"names": json.dumps(names, ensure_ascii=False), "clip": clip})
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}; name another file") from error
    finally:
        aside.unlink(missing_ok=True)


def read_bank(path: Path, names: Sequence[str] | None = None) -> tuple[tuple[str, ...], LabelBank]:
    """A bank and the names of its tags.

    names: the tags wanted, in that order; without them, all of the bank's. A published `.pth` has
    no names, so they have to be given. Raises CheckpointError.
    """
    if path.suffix != ".safetensors":
        if names is None:
            raise CheckpointError(f"{path} does not say whose descriptions it holds: give the tags")
        return tuple(names), label_bank(read_tensor(path), len(names))
    try:
        with safe_open(path, "pt") as file:
            own = tuple(json.loads((file.metadata() or {})["names"]))
            bank = LabelBank(file.get_tensor("embeddings"), file.get_tensor("counts"))
        if len(own) != len(bank):
            raise ValueError(f"{len(own)} names of {len(bank)} tags")
    except (OSError, SafetensorError, LookupError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no label bank: {error}; make one with ram-tagger label-bank"
        ) from error
    if names is None or tuple(names) == own:
        return own, bank
    if not names:
        raise CheckpointError(f"no tag of {path} is wanted: the tag list is empty")
    rows = {name.casefold(): row for row, name in enumerate(own)}
    missing = [name for name in names if name.casefold() not in rows]
    if missing:
        raise CheckpointError(
            f"{path} has no descriptions of {len(missing)} tags, the first is {missing[0]}: "
            "make a bank of all tags with ram-tagger label-bank"
        )
    return tuple(names), bank.chosen([rows[name.casefold()] for name in names])
