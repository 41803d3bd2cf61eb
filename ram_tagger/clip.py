"""CLIP: the image embedding that goes to the vector index, and the text side of every label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from ram_tagger import backbones  # noqa: F401  (registers this project's backbones with timm)
from ram_tagger.attention import attend
from ram_tagger.config import ClipConfig
from ram_tagger.errors import RamTaggerError
from ram_tagger.packed import PackedLinear

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

    def settle(self, device: torch.device, dtype: torch.dtype, packed: bool) -> None:
        """Go where the network is to run. Texts stay in float32: concepts are the same anywhere."""
        visual = cast(nn.Module, self.network.visual)
        if packed:
            _pack_blocks(visual)
        if dtype != torch.float32:
            visual.to(dtype)
        self.network.to(device)

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


QUICK_GELU = 1.702
"""The steepness of OpenAI's approximate GELU: x * sigmoid(1.702 x)."""


class _PackedBlock(nn.Module):
    """A residual attention block of open_clip's vision tower, with packed layers."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        super().__init__()
        attention, expand, contract = block.attn, block.mlp.c_fc, block.mlp.c_proj
        self.ln_1, self.ln_2, self.heads = block.ln_1, block.ln_2, attention.num_heads
        self.qkv = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self.output = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)
        # x * sigmoid(a x) is swish(a x) / a: oneDNN has swish, and the factors go into weights.
        factor = QUICK_GELU if isinstance(block.mlp.gelu, QuickGELU) else 1.0
        self.activation = "gelu" if factor == 1.0 else "swish"
        self.expand = PackedLinear(expand.weight * factor, expand.bias * factor)
        self.contract = PackedLinear(contract.weight / factor, contract.bias)

    def forward(self, x: Tensor, attn_mask: None = None) -> Tensor:
        """(pictures, tokens, width), the same back."""
        qkv = self.qkv(self.ln_1(x)).unflatten(-1, (3, self.heads, -1))  # B N 3 heads D
        x = self.output.plus(attend(*qkv.permute(2, 0, 3, 1, 4)), x)
        return self.contract.plus(self.expand.then(self.activation, self.ln_2(x)), x)


def _pack_blocks(visual: nn.Module) -> None:
    """Pack the blocks of open_clip's own vision tower, one by one; others stay as they are."""
    if not isinstance(visual, VisionTransformer):
        return
    blocks = cast(Any, visual).transformer.resblocks
    for number, block in enumerate(blocks):
        if _packable(block):
            blocks[number] = _PackedBlock(block)


def _packable(block: Any) -> bool:
    return bool(
        type(block) is ResidualAttentionBlock
        and isinstance(block.mlp.gelu, QuickGELU | nn.GELU)
        and isinstance(block.ls_1, nn.Identity)
        and block.attn.batch_first
    )
