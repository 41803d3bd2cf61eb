"""The sizes of a RAM++ model: all that tells the small one from the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

FORMAT = 1
"""Of model folders: raised when one written today could not be read by yesterday's code."""


@dataclass(frozen=True, slots=True)
class RamConfig:
    """Shape of the RAM++ network (arXiv 2310.15200).

    The defaults are the published Swin-L at 384 pixels.
    """

    backbone: str = "swin_large_patch4_window12_384"  # any timm model with a spatial feature map
    image_size: int = 384  # pixels, both sides: the aspect ratio is not kept
    embedding_width: int = 512  # image tokens, description embeddings, CLIP
    hidden_width: int = 768  # alignment decoder
    heads: int = 4
    layers: int = 2
    feed_forward_width: int = 3072
    dropout: float = 0.1  # decoder, in training only
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """The CLIP whose image embedding is the distillation target.

    Either `architecture` names an open_clip model (OpenAI's ViT-B/16), or `vision` and `text` are
    open_clip's own configuration tables for a small one.
    """

    architecture: str | None = "ViT-B-16-quickgelu"
    embedding_width: int = 512
    image_size: int = 224
    context_length: int = 77
    token_ids: tuple[int, ...] = ()  # the BPE ids a small text tower knows; empty: all of them
    vision: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What `config.json` of a model folder holds."""

    name: str
    ram: RamConfig = field(default_factory=RamConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    digest: str = ""  # of sizes, tags and weights, set when a folder is written
    format: int = FORMAT

    @property
    def model_id(self) -> str:
        """Name and digest: what every stored figure of this model is filed under.

        It changes when results would; not with thresholds and Chinese names, which no figure holds.
        """
        return f"{self.name}-{self.digest}"

    def to_json(self) -> dict[str, Any]:
        """Plain tables and lists, as written to `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> ModelConfig:
        """Read what `to_json` wrote. Raises KeyError or TypeError on a foreign table."""

        def fields(part: Mapping[str, Any]) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in part.items()}

        return cls(
            name=str(table["name"]),
            ram=RamConfig(**fields(table["ram"])),
            clip=ClipConfig(**fields(table["clip"])),
            digest=str(table["digest"]),
            format=int(table["format"]),
        )
