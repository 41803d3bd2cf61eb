"""Weights on disk: published checkpoints read safely, model folders written and opened by mmap."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ram_tagger.clip import build_clip
from ram_tagger.config import ClipConfig, ModelConfig, RamConfig
from ram_tagger.errors import CheckpointError
from ram_tagger.labels import LabelBank
from ram_tagger.model import RamPlus
from ram_tagger.model_folder import CLIP, CONFIG, LABELS, NETWORK, TAGS, TAGS_ZH, THRESHOLDS
from ram_tagger.published import fit, infer_config, published_name, translate
from ram_tagger.torchscript import is_torchscript, read_torchscript
from ram_tagger.vocabulary import LabelSet

_PARTS = (TAGS, TAGS_ZH, THRESHOLDS, NETWORK, LABELS, CLIP)

# What torch, zipfile and safetensors raise on files that are cut short or of another kind.
_DAMAGE = (
    RuntimeError,
    SafetensorError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True)
class ModelParts:
    """A whole model in memory; weights may still be mapped from the files they came in."""

    config: ModelConfig
    network: RamPlus
    clip: nn.Module
    labels: LabelSet
    bank: LabelBank


def read_checkpoint(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, Tensor]:
    """The state dict of a .pth/.pt/.bin or .safetensors file, memory-mapped, no code executed.

    Accepts `{"model": state_dict}`, `{"state_dict": …}` and a bare state dict. OpenAI's TorchScript
    archives are read for their weights only (`ram_tagger.torchscript`). Half precision, which
    processors are slow at, is widened to float32. wanted: by name, which tensors are. Raises
    CheckpointError.
    """
    state = _read_safely(path)
    for key in ("model", "state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds no state dict: expected {{'model': state_dict}}")
    return {
        name: value.float() if value.dtype == torch.float16 else value
        for name, value in state.items()
        if wanted(name)
    }


def read_tensor(path: Path) -> Tensor:
    """The one tensor of a .pth, as published label embeddings are. Raises CheckpointError."""
    tensor = _read_safely(path)
    if not isinstance(tensor, Tensor):
        raise CheckpointError(f"{path} holds no tensor of its own: it is not a label bank")
    return tensor.float()


def ram_from_checkpoint(
    state: Mapping[str, Tensor], config: RamConfig | None = None
) -> tuple[RamPlus, Tensor]:
    """The network of a published RAM++ checkpoint, and its (tags * descriptions, width) bank.

    Parameters that tagging does not use are ignored. Raises CheckpointError naming what is missing
    or mis-shaped.
    """
    config = config or infer_config(state)
    translated = translate(state)
    network = build_network(config)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    network.load_state_dict(fit(translated, wanted, published_name), assign=True)
    if "label_embed" not in translated:
        raise CheckpointError("the checkpoint lacks label_embed, the description embeddings")
    bank = translated["label_embed"]
    if bank.ndim != 2 or bank.shape[1] != config.embedding_width:
        raise CheckpointError(
            f"label_embed is {tuple(bank.shape)}, needed are rows of {config.embedding_width}"
        )
    return network.eval(), bank


def clip_from_checkpoint(state: Mapping[str, Tensor], config: ClipConfig) -> nn.Module:
    """An open_clip network with a checkpoint's weights. Raises CheckpointError."""
    with _without_values():
        network = build_clip(config)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    try:
        network.load_state_dict(fit(state, wanted), assign=True)
    except CheckpointError as error:
        raise CheckpointError(f"CLIP weights do not fit {config.architecture}: {error}") from error
    return network.eval()


def build_network(config: RamConfig) -> RamPlus:
    """A network whose parameters hold no values yet: for weights to be assigned."""
    with _without_values():
        return RamPlus(config)


def label_bank(embeddings: Tensor, tags: int) -> LabelBank:
    """A bank of equal description counts, as published. Raises CheckpointError."""
    if tags == 0 or len(embeddings) % tags:
        raise CheckpointError(
            f"{len(embeddings)} description embeddings cannot belong to {tags} tags: "
            "the tag list is of another checkpoint"
        )
    return LabelBank(embeddings, torch.full((tags,), len(embeddings) // tags))


def save_model_folder(folder: Path, model: ModelParts, half: bool = False) -> ModelConfig:
    """Write a model folder, whole or not at all; returns the config with the digest of it.

    The files of a model that is there already are replaced. half: store floats as 16 bit, for a
    model that is shipped; they are widened on loading. Raises CheckpointError where the folder
    cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
            config = _write_folder(Path(aside), model, half)
            folder.mkdir(exist_ok=True)
            for name in (*_PARTS, CONFIG):  # the config last: without it there is no model
                Path(aside, name).replace(folder / name)
        return config
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {folder}: {error}; name another folder") from error


def _write_folder(folder: Path, model: ModelParts, half: bool) -> ModelConfig:
    config, labels, bank = model.config, model.labels, model.bank
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([asdict(config.ram), asdict(config.clip), labels.names]).encode())
    for name, lines in zip(
        (TAGS, TAGS_ZH, THRESHOLDS),
        (labels.names, labels.names_zh, map(str, labels.thresholds)),
        strict=True,
    ):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tensors = {
        NETWORK: dict(model.network.state_dict()),
        CLIP: dict(model.clip.state_dict()),
        LABELS: {"embeddings": bank.embeddings, "counts": bank.counts},
    }
    for name, state in tensors.items():
        save_file({k: _stored(v, half) for k, v in state.items()}, folder / name)
        shutil.copymode(folder / TAGS, folder / name)  # safetensors makes files private
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    config = replace(config, digest=digest.hexdigest())
    text = json.dumps(config.to_json(), ensure_ascii=False, indent=1)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    return config


def load_network(folder: Path, config: RamConfig) -> RamPlus:
    """The network of a model folder, its weights memory-mapped. Raises CheckpointError."""
    network = build_network(config)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    network.load_state_dict(fit(read_checkpoint(folder / NETWORK), wanted), assign=True)
    return network.eval()


def load_bank(folder: Path) -> LabelBank:
    """The description embeddings of a model folder, memory-mapped. Raises CheckpointError."""
    tensors = read_checkpoint(folder / LABELS)
    for name in ("embeddings", "counts"):
        if name not in tensors:
            raise CheckpointError(f"{folder / LABELS} lacks {name}: convert the weights again")
    return LabelBank(tensors["embeddings"], tensors["counts"])


def load_clip(folder: Path, config: ClipConfig) -> nn.Module:
    """The CLIP network of a model folder, memory-mapped. Raises CheckpointError.

    Its towers are mapped apart: pictures' is left behind when it is converted, and would stay in
    memory as long as texts' is in use.
    """
    pictures = read_checkpoint(folder / CLIP, lambda name: name.startswith("visual."))
    texts = read_checkpoint(folder / CLIP, lambda name: not name.startswith("visual."))
    return clip_from_checkpoint({**pictures, **texts}, config)


def _read_safely(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of a .pth or .safetensors")
    try:
        return _read(path)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from error
    except _DAMAGE as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {first_line}") from error


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if is_torchscript(path):
        return read_torchscript(path)
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path} is no whole checkpoint: it is cut short, something else, or was written by a "
            "torch before 1.6; get it again, or save it again with a newer torch"
        )
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _stored(value: Tensor, half: bool) -> Tensor:
    if half and value.dtype == torch.float32:
        value = value.half()
    return value.detach().contiguous()


def _refusal(path: Path, error: pickle.UnpicklingError) -> str:
    named = re.search(r"GLOBAL (\S+)", str(error))
    code = f" ({named[1]})" if named else ""
    return (
        f"{path} was refused: it needs code to be run while loading{code}, which a checkpoint from "
        "elsewhere must not; save it again as plain tensors or safetensors"
    )


class _ParametersUntouched(TorchFunctionMode):
    """Skips whatever would write into a parameter: memory that is never written is never used."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        target = args[0] if args else (kwargs or {}).get("tensor")
        name = getattr(func, "__name__", "")
        writes = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        if writes and isinstance(target, nn.Parameter):
            return target
        return func(*args, **(kwargs or {}))


@contextmanager
def _without_values() -> Iterator[None]:
    """Build networks without the random values that are about to be replaced.

    Buffers, which checkpoints lack, are computed as ever.
    """
    with _ParametersUntouched():
        yield
