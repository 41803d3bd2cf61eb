"""CLIP: the image embedding that goes to the vector index, and the text side of every label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from ram_tagger import backbones  # noqa: F401  (registers this project's backbones with timm)
from ram_tagger.config import ClipConfig
from ram_tagger.errors import RamTaggerError

PADDING, UNKNOWN = 0, 1
TEXT_BATCH = 64


def build_clip(config: ClipConfig) -> nn.Module:
    """The open_clip network of a config, with fresh weights.

    Named architectures are open_clip's own (`ViT-B-16-quickgelu` is OpenAI's ViT-B/16); otherwise
    the config's `vision` and `text` tables describe a small one. Raises RamTaggerError for a name
    that open_clip does not know.
    """
    if config.architecture is not None:
        shape = open_clip.get_model_config(config.architecture)
        if shape is None:
            raise RamTaggerError(
                f'open_clip has no "{config.architecture}": install a newer open_clip_torch'
            )
        return cast(nn.Module, open_clip.CLIP(**shape))
    text = {
        **config.text,
        "context_length": config.context_length,
        "vocab_size": len(config.token_ids) + 2,
    }
    vision = {**config.vision, "image_size": config.image_size}
    return cast(nn.Module, open_clip.CustomTextCLIP(config.embedding_width, vision, text))


class Tokenizer:
    """CLIP's byte-pair tokens, truncated to the context length.

    A small text tower knows only some of the tokens (`ClipConfig.token_ids`): those are renumbered
    in order from 2, 0 stays the padding, and every other token becomes 1.
    """

    def __init__(self, config: ClipConfig) -> None:
        self._tokenizer = SimpleTokenizer(context_length=config.context_length)
        self._rows: NDArray[np.int64] | None = None
        if config.token_ids:
            self._rows = np.full(self._tokenizer.vocab_size, UNKNOWN, dtype=np.int64)
            self._rows[list(config.token_ids)] = np.arange(len(config.token_ids)) + 2
            self._rows[PADDING] = PADDING

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(texts, context_length) int64."""
        ids = cast(Tensor, self._tokenizer(list(texts)))
        return ids if self._rows is None else torch.from_numpy(self._rows[ids.numpy()])


class Clip:
    """Both towers of a CLIP, ready to embed; everything it returns has unit length."""

    def __init__(self, config: ClipConfig, network: nn.Module) -> None:
        self.config = config
        self.network = network.eval()
        self.tokenize = Tokenizer(config)

    @torch.inference_mode()
    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """(pictures, 3, size, size) to (pictures, width)."""
        weight = next(self.network.visual.parameters())  # type: ignore[union-attr,operator,arg-type]
        embeddings = self.network.encode_image(pixels.to(weight.device, weight.dtype))  # type: ignore[operator]
        return F.normalize(embeddings.float(), dim=-1)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """(texts, width)."""
        weight = next(self.network.parameters())
        if not texts:
            return torch.empty(0, self.config.embedding_width)
        ids = self.tokenize(texts).to(weight.device)
        parts = [self.network.encode_text(part).float() for part in ids.split(TEXT_BATCH)]  # type: ignore[operator]
        return F.normalize(torch.cat(parts), dim=-1)
