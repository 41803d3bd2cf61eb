"""The sizes of the model `sketch`."""

from __future__ import annotations

from open_clip.tokenizer import SimpleTokenizer

from ram_tagger.config import IMAGENET_MEAN, IMAGENET_STD, ClipConfig, ModelConfig, RamConfig
from ram_tagger.sketch.captions import all_words

SIZE = 96
"""Pixels on each side of the pictures that it sees."""
WIDTH = 128
"""Of every embedding."""


def sketch_config() -> ModelConfig:
    """The configuration of the bundled model, with the tokens that its text tower knows."""
    ram = RamConfig(
        backbone="sketch_resnet",
        image_size=SIZE,
        embedding_width=WIDTH,
        hidden_width=WIDTH,
        feed_forward_width=2 * WIDTH,
        dropout=0.0,
    )
    clip = ClipConfig(
        architecture=None,
        embedding_width=WIDTH,
        image_size=SIZE,
        context_length=32,
        token_ids=known_tokens(),
        vision={
            "timm_model_name": "sketch_resnet",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        text={"width": WIDTH, "heads": 4, "layers": 2},
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    return ModelConfig("sketch", ram, clip)


def known_tokens() -> tuple[int, ...]:
    """BPE ids of every word that captions and descriptions use, sorted."""
    tokenizer = SimpleTokenizer()
    ids = {i for text in all_words() for i in tokenizer.encode(text)}
    return tuple(sorted(ids | {tokenizer.sot_token_id, tokenizer.eot_token_id}))
