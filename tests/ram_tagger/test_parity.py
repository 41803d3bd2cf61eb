"""The figures of the original implementations, reproduced through a converted model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from standins import Parity
from torch import Tensor

from photoindex.tagger import Concept, ImageTokens
from ram_tagger.cli.app import app
from ram_tagger.clip import Tokenizer
from ram_tagger.config import ClipConfig
from ram_tagger.pixels import clip_pixels, ram_pixels
from ram_tagger.predict import RamTagger

CLOSE = 2e-4  # absolute, logits and image embeddings in fp32
CLIP_CLOSE = 1e-4


def largest_error(ours: Tensor | NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    return float(np.abs(np.asarray(ours) - theirs).max())


@pytest.fixture(scope="module")
def figures(parity: Parity) -> dict[str, NDArray[np.float32]]:
    return parity.figures("ram_plus_swin_b_224")


@pytest.fixture(scope="module")
def pixels(
    parity: Parity, figures: dict[str, NDArray[np.int64]], swin_b: RamTagger
) -> torch.Tensor:
    return ram_pixels(parity.pictures(figures["pictures"]), swin_b.config.ram)


def test_pictures_reach_the_network_as_the_original_sees_them(pixels, figures):
    assert largest_error(pixels.mean((1, 2, 3)), figures["pixel_mean"]) < 1e-6
    assert largest_error(pixels[:, :, :4, :4], figures["pixel_corner"]) < 1e-6


@torch.inference_mode()
def test_swin_b_gives_the_originals_tokens_embeddings_and_logits(swin_b, pixels, figures):
    network = swin_b.network

    features = network.encoder.features(pixels)
    assert largest_error(features[:, :6, :32], figures["encoder_tokens"]) < CLOSE

    tokens = network.encode(pixels)
    assert tokens.shape == figures["image_embeds"].shape
    assert largest_error(tokens, figures["image_embeds"]) < CLOSE

    reweighted = network.reweight(tokens[:2], swin_b.bank)
    assert largest_error(reweighted, figures["label_embed_reweighted"]) < CLOSE

    assert largest_error(network.score(tokens, swin_b.bank), figures["logits"]) < CLOSE


def test_swin_b_selects_the_originals_tags(swin_b, parity, figures):
    predictions = swin_b.predict(parity.pictures(figures["pictures"]))
    ours = [{tag.name for tag in swin_b.tags(prediction)} for prediction in predictions]
    assert ours == [set(str(line).split(" | ")) for line in figures["tags"]]


def test_a_picture_alone_gives_what_it_gives_in_a_batch(swin_b, parity, figures):
    pictures = parity.pictures(figures["pictures"])[:3]
    together = list(swin_b.predict(pictures))
    alone = [next(swin_b.predict([picture])) for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        assert largest_error(one.probabilities, other.probabilities) < 1e-5
        assert largest_error(one.tokens, other.tokens) < 1e-4
        assert largest_error(one.embedding, other.embedding) < 1e-5


def test_a_later_label_gets_the_figure_it_had_in_the_vocabulary(swin_b, parity, figures):
    """Labels do not see each other: one alone scores as it does among the others."""
    tokens = torch.from_numpy(figures["image_embeds"])
    everything = swin_b.network.score(tokens, swin_b.bank)
    size = len(swin_b.bank.embeddings) // len(swin_b.bank)
    for row in (0, 11, 23):
        rows = swin_b.bank.embeddings[row * size : (row + 1) * size]
        alone = swin_b.network.score(tokens, type(swin_b.bank)(rows, torch.tensor([size])))
        assert largest_error(alone[:, 0].detach(), everything[:, row].detach().numpy()) < 1e-5


def test_token_ids_are_the_original_tokenizers(parity):
    known = parity.json("clip_tokens.json")
    ids = Tokenizer(ClipConfig())(known["texts"])
    assert ids.shape == (len(known["texts"]), 77)
    ours = [row[: row.argmax() + 1].tolist() for row in ids]  # up to the end token, the largest
    assert ours == known["token_ids"]


@torch.inference_mode()
def test_clip_gives_the_originals_embeddings(swin_b, parity):
    figures = parity.figures("clip_vit_b_16")
    texts = parity.json("clip_tokens.json")["texts"]
    clip = swin_b.clip

    assert largest_error(clip.network.encode_text(clip.tokenize(texts)), figures["text_embeds"]) < (
        CLIP_CLOSE
    )
    pictures = parity.pictures(figures["pictures"])
    pixels = clip_pixels(pictures, clip.config)
    assert largest_error(pixels.mean((1, 2, 3)), figures["pixel_mean"]) < 1e-6
    assert largest_error(pixels[:, :, :4, :4], figures["pixel_corner"]) < 1e-6
    assert largest_error(clip.network.encode_image(pixels), figures["image_embeds"]) < CLIP_CLOSE


def test_what_is_stored_are_the_same_embeddings_at_unit_length(swin_b, parity):
    figures = parity.figures("clip_vit_b_16")
    images, texts = figures["image_embeds"], figures["text_embeds"]
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    unit_texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    known = parity.json("clip_tokens.json")["texts"]

    pictures = parity.pictures(figures["pictures"])
    stored = np.stack([prediction.embedding for prediction in swin_b.predict(pictures)])
    assert largest_error(stored, unit) < CLIP_CLOSE
    assert largest_error(swin_b.embed_text(known), unit_texts) < CLIP_CLOSE

    described = [text for text in known if text.strip()]
    labels = swin_b.embed_concepts([Concept("any", tuple(described))])
    rows = [known.index(text) for text in described]
    assert largest_error(labels.embeddings, unit_texts[rows]) < CLIP_CLOSE


@pytest.mark.slow
@pytest.mark.timeout(600)
@torch.inference_mode()
def test_swin_l_with_the_whole_vocabulary(
    published: Callable[[str, NDArray[np.float32]], Path], parity: Parity
):
    figures = parity.figures("ram_plus_swin_l_384")
    files = published("ram_plus_swin_l_384", figures["class_threshold"])
    folder = files.parent / "swin_l_model"
    app(["convert", str(files / "ram_plus_swin_l_384.pth"), str(folder)], standalone_mode=False)
    tagger = RamTagger.load(folder, "cpu", "fp32")
    pictures = parity.pictures(figures["pictures"])

    pixels = ram_pixels(pictures, tagger.config.ram)
    assert largest_error(tagger.network.encoder.features(pixels)[:, :4, :32],
                         figures["encoder_tokens"]) < CLOSE  # fmt: skip
    tokens = tagger.network.encode(pixels)
    assert tokens.shape == (2, 145, 512)
    assert largest_error(tokens[:, :8], figures["image_embeds"]) < CLOSE
    logits = tagger.network.score(tokens, tagger.bank)
    assert largest_error(logits, figures["logits"]) < CLOSE

    predictions = list(tagger.predict(pictures))
    assert [len(tagger.tags(p)) for p in predictions] == figures["tag_counts"].tolist()

    # What docs/explanation/tokens-at-rest.md says of tokens at rest and of bf16, with a margin.
    rounded = np.stack([ImageTokens.quantise(p.tokens).restore() for p in predictions])
    at_rest = tagger.network.score(torch.from_numpy(rounded), tagger.bank)
    assert largest_error(at_rest, figures["logits"]) < 0.025
    assert rounded[0].size + 4 * len(rounded[0]) <= 80_000  # bytes, with the scales
    bf16 = RamTagger.load(folder, "cpu", "bf16")
    probabilities = np.stack([p.probabilities for p in bf16.predict(pictures)]).astype(np.float64)
    assert largest_error(np.log(probabilities / (1 - probabilities)), figures["logits"]) < 0.2
