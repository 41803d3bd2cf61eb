"""Where and how precisely the network runs, and what storing its tokens costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from standins import Parity
from torch import Tensor

from photoindex.tagger import ImageTokens, LabelEmbeddings, StoredPhotos
from ram_tagger.errors import RamTaggerError
from ram_tagger.predict import RamTagger, choose_dtype, fast_bf16

CPU = torch.device("cpu")


def logits(probabilities: np.ndarray) -> np.ndarray:
    wide = probabilities.astype(np.float64)
    return np.log(wide / (1 - wide))


def test_float32_is_not_rounded_to_tf32(small_folder: Path):
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    RamTagger.load(small_folder, "cpu", "fp32")
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def swin_l_tokens(seed: int) -> np.ndarray:
    """Tokens of the shape that Swin-L gives, wider spread than any real ones."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((145, 512)) * 3).astype(np.float32)


def test_bf16_stays_close_to_fp32(swin_b_folder: Path, swin_b: RamTagger, parity: Parity):
    """Measured: 0.056 of a logit at most on six pictures (docs/explanation/tokens-at-rest.md)."""
    pictures = [parity.recipe.picture(number) for number in range(3)]
    tagger = RamTagger.load(swin_b_folder, "cpu", "bf16")
    assert tagger.dtype == torch.bfloat16
    for exact, rough in zip(swin_b.predict(pictures), tagger.predict(pictures), strict=True):
        assert rough.tokens.dtype == rough.embedding.dtype == np.float32
        difference = logits(rough.probabilities) - logits(exact.probabilities)
        assert 0 < np.abs(difference).max() < 0.12
        assert exact.embedding @ rough.embedding > 0.999
        assert np.linalg.norm(rough.embedding) == pytest.approx(1, abs=1e-5)


def test_label_embeddings_do_not_depend_on_the_precision(swin_b_folder: Path, swin_b: RamTagger):
    """The text tower stays in fp32: concepts stored under either precision are the same."""
    tagger = RamTagger.load(swin_b_folder, "cpu", "bf16")
    texts = ["a tabby cat on a roof"]
    assert np.allclose(tagger.embed_text(texts), swin_b.embed_text(texts), atol=1e-6)


def test_auto_takes_bf16_only_where_it_is_fast_and_the_model_large(
    small: RamTagger, swin_b: RamTagger
):
    assert choose_dtype("auto", CPU, small.network) == torch.float32
    expected = torch.bfloat16 if fast_bf16(CPU) else torch.float32
    assert choose_dtype("auto", CPU, swin_b.network) == expected
    assert choose_dtype("bf16", CPU, small.network) == torch.bfloat16


def test_another_precision_is_refused(small_folder: Path):
    with pytest.raises(RamTaggerError, match='no precision "int4": use auto, fp32 or bf16'):
        RamTagger.load(small_folder, "cpu", "int4")


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "meta", ""])
def test_a_device_that_is_not_there_is_refused(small_folder: Path, device: str):
    with pytest.raises(RamTaggerError, match=f'no device "{device}" here: use --device cpu'):
        RamTagger.load(small_folder, device)


def test_auto_device_is_the_gpu_where_there_is_one(small_folder: Path):
    tagger = RamTagger.load(small_folder)
    assert tagger.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


# Image tokens at rest


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 8)),
        elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
    )
)
def test_every_number_comes_back_within_half_a_scale(tokens: np.ndarray):
    stored = ImageTokens.quantise(tokens)
    assert stored.values.dtype == np.int8
    assert stored.restore().shape == tokens.shape
    error = np.abs(stored.restore() - tokens)
    assert (error <= stored.scales[:, None] * 0.5001 + 1e-30).all()


def test_tokens_of_swin_l_take_less_than_80_kilobytes():
    stored = ImageTokens.quantise(swin_l_tokens(0))
    assert stored.values.nbytes + stored.scales.nbytes <= 80_000


def test_storing_tokens_hardly_moves_a_logit(swin_b: RamTagger, parity: Parity):
    """Measured: 0.011 of a logit at most on six pictures (docs/explanation/tokens-at-rest.md)."""
    figures = parity.figures("ram_plus_swin_b_224")
    exact = figures["logits"]
    tokens = ImageTokens.quantise(figures["image_embeds"])
    photos = StoredPhotos(np.zeros((len(exact), 512), np.float32), tokens)
    stored = logits(swin_b.score(everything(swin_b), [photos]))
    assert np.abs(stored - exact).max() < 0.02
    sure = np.abs(exact) > 0.02
    assert ((stored > 0) == (exact > 0))[sure].all()


def test_stored_photos_are_scored_as_a_stream_and_in_parts(small: RamTagger, monkeypatch):
    """However many photos and labels, every figure is that of one photo and one label."""
    generator = np.random.default_rng(0)
    tokens = generator.standard_normal((7, 37, 64)).astype(np.float32)
    blocks = [
        StoredPhotos(np.zeros((len(part), 64), np.float32), ImageTokens.quantise(part))
        for part in (tokens[:1], tokens[1:6], tokens[6:])
    ]
    photos = [
        StoredPhotos(np.zeros((1, 64), np.float32), ImageTokens.quantise(part[None]))
        for part in tokens
    ]
    labels = everything(small)
    monkeypatch.setattr("ram_tagger.predict.PAIRS", 9)  # two photos of four labels at a time
    together = small.score(labels, iter(blocks))
    assert together.shape == (7, 4)
    alone = np.concatenate([small.score(labels, [photo]) for photo in photos])
    assert np.allclose(together, alone, atol=1e-5)
    assert small.score(labels, []).shape == (0, 4)


def test_a_photo_without_tokens_cannot_be_scored(small: RamTagger):
    with pytest.raises(RamTaggerError, match="without image tokens"):
        small.score(everything(small), [StoredPhotos(np.zeros((1, 64), np.float32), None)])


def everything(tagger: RamTagger) -> LabelEmbeddings:
    """The whole vocabulary, as if it were added as concepts."""
    embeddings: Tensor = tagger.bank.embeddings
    return LabelEmbeddings(
        tagger.labels.names, embeddings.numpy().copy(), tagger.bank.counts.numpy()
    )
