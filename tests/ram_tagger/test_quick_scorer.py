"""What a single search asks of a model: the figures of the networks, without loading them."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file, save_file
from standins import SMALL_TAGS, write_small_model

from photoindex.errors import ModelError
from photoindex.tagger import (
    Concept,
    Floats,
    ImageTokens,
    LabelEmbeddings,
    LoadOptions,
    StoredPhotos,
    Tagger,
)
from ram_tagger.errors import CheckpointError, RamTaggerError, ShapeError
from ram_tagger.plugin import plugin
from ram_tagger.predict import RamTagger
from ram_tagger.quick import scorer as quick
from ram_tagger.quick.arithmetic import gelu, layer_norm, quick_gelu
from ram_tagger.quick.scorer import QuickScorer, can_score
from ram_tagger.quick.tensors import MappedTensors
from ram_tagger.sources import BUNDLED

CLOSE = 1e-4
CONCEPTS = [
    Concept("tabby cat on roof"),
    Concept("jaguar", ("a spotted animal", "an old green car")),
    Concept("dog", ("a dog",)),
]
TEXTS = ["", "a", "a photo of a cat", "it's 5 o'clock, café", "word " * 90, "a photo of a dog"]


def never() -> RamTagger:
    raise AssertionError("the network was loaded")


def random_photos(width: int, photos: int, tokens: int = 145, seed: int = 3) -> StoredPhotos:
    numbers = np.random.default_rng(seed)
    drawn = numbers.standard_normal((photos, tokens, width)).astype(np.float32)
    drawn *= numbers.uniform(0.2, 3, (photos, tokens, 1)).astype(np.float32)
    return StoredPhotos(np.zeros((photos, width), np.float32), ImageTokens.quantise(drawn))


@pytest.fixture(scope="module", params=["small", "swin_b", "bundled"])
def pair(request: pytest.FixtureRequest) -> tuple[QuickScorer, RamTagger]:
    """A model folder opened both ways: a small one, OpenAI's CLIP with Swin-B, the bundled one."""
    if request.param == "bundled":
        return QuickScorer(BUNDLED, never), RamTagger.load(BUNDLED, "cpu", "fp32")
    folder = request.getfixturevalue(f"{request.param}_folder")
    return QuickScorer(folder, never), request.getfixturevalue(request.param)


# The same figures


def test_texts_have_the_embeddings_of_clip(pair: tuple[QuickScorer, RamTagger]):
    scorer, tagger = pair
    found = scorer.embed_text(TEXTS)
    assert found.dtype == np.float32
    assert np.allclose(found, tagger.embed_text(TEXTS), atol=CLOSE)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(scorer.embed_text(TEXTS[2:3]), found[2], atol=1e-6)  # alone or with others
    assert scorer.embed_text([]).shape == (0, found.shape[1])


def test_concepts_have_the_same_label_embeddings(pair: tuple[QuickScorer, RamTagger]):
    found, wanted = (model.embed_concepts(CONCEPTS) for model in pair)
    assert found.names == wanted.names
    assert found.counts.tolist() == wanted.counts.tolist()
    assert np.allclose(found.embeddings, wanted.embeddings, atol=CLOSE)


@pytest.mark.parametrize("chosen", [CONCEPTS, CONCEPTS[:1], CONCEPTS[2:], CONCEPTS * 3])
def test_stored_photos_have_the_probabilities_of_the_network(
    pair: tuple[QuickScorer, RamTagger], chosen: list[Concept]
):
    scorer, tagger = pair
    labels = tagger.embed_concepts(chosen)
    blocks = [random_photos(labels.embeddings.shape[1], n, seed=n) for n in (1, 17, 6)]
    found = scorer.score(labels, iter(blocks))
    assert found.shape == (24, len(chosen)) and found.dtype == np.float32
    assert np.ptp(found) > 0.001
    assert np.allclose(found, tagger.score(labels, blocks), atol=CLOSE)


def test_a_bundled_picture_has_the_probabilities_of_its_tags(parity):
    tagger = RamTagger.load(BUNDLED, "cpu", "fp32")
    (prediction,) = tagger.predict([parity.recipe.picture(1)])
    photo = StoredPhotos(prediction.embedding[None], ImageTokens.quantise(prediction.tokens[None]))
    labels = LabelEmbeddings(
        tagger.labels.names, tagger.bank.embeddings.numpy(), tagger.bank.counts.numpy()
    )
    (found,) = QuickScorer(BUNDLED, never).score(labels, [photo])
    assert np.allclose(found, prediction.probabilities, atol=0.01)  # int8 tokens


def test_nothing_asked_is_nothing_found(small_folder: Path):
    scorer = QuickScorer(small_folder, never)
    nobody, photos = scorer.embed_concepts([]), random_photos(64, 2)
    assert scorer.score(nobody, [photos]).shape == (2, 0)
    assert scorer.score(scorer.embed_concepts(CONCEPTS), []).shape == (0, 3)
    assert scorer.score(scorer.embed_concepts(CONCEPTS), [random_photos(64, 0)]).shape == (0, 3)


def test_photos_of_another_model_are_refused(small_folder: Path):
    scorer = QuickScorer(small_folder, never)
    labels = scorer.embed_concepts(CONCEPTS)
    with pytest.raises(ShapeError, match="different models"):
        scorer.score(labels, [random_photos(128, 2)])
    with pytest.raises(RamTaggerError, match="without image tokens"):
        scorer.score(labels, [StoredPhotos(np.zeros((1, 64), np.float32), None)])
    empty = LabelEmbeddings(("x", "y"), labels.embeddings[:1], np.array([1, 0]))
    with pytest.raises(ShapeError, match="without a description"):
        scorer.score(empty, [random_photos(64, 2)])


def test_a_folder_in_half_precision_is_read_as_the_network_reads_it(tmp_path: Path):
    write_small_model(tmp_path / "half", half=True)
    scorer = QuickScorer(tmp_path / "half", never)
    tagger = RamTagger.load(tmp_path / "half", "cpu", "fp32")
    labels, photos = scorer.embed_concepts(CONCEPTS), random_photos(64, 5)
    assert np.allclose(labels.embeddings, tagger.embed_concepts(CONCEPTS).embeddings, atol=CLOSE)
    assert np.allclose(scorer.score(labels, [photos]), tagger.score(labels, [photos]), atol=CLOSE)


# When the network is worth loading


def test_many_pairs_are_left_to_the_network(
    small_folder: Path, small: RamTagger, monkeypatch: pytest.MonkeyPatch
):
    class Counted:
        def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
            answered.append(small.score(labels, photos))
            return answered[-1]

    def load() -> Counted:
        loaded.append(True)
        return Counted()

    loaded: list[bool] = []
    answered: list[Floats] = []
    monkeypatch.setattr(quick, "PATIENCE", 10)
    scorer = QuickScorer(small_folder, load)
    labels = scorer.embed_concepts(CONCEPTS)
    blocks = [random_photos(64, 2, seed=seed) for seed in range(4)]
    wanted = small.score(labels, blocks)
    assert np.allclose(scorer.score(labels, blocks[:1]), wanted[:2], atol=CLOSE)
    assert not loaded
    assert np.allclose(scorer.score(labels, blocks), wanted, atol=CLOSE)
    assert np.allclose(scorer.score(labels, blocks), wanted, atol=CLOSE)
    assert loaded == [True]
    assert [len(part) for part in answered] == [6, 8]


def test_a_text_tower_of_another_kind_is_left_to_open_clip(small_folder: Path, tmp_path: Path):
    """`mlp_ratio` as it is anyway: what the setting means, only open_clip knows."""
    folder = Path(shutil.copytree(small_folder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["clip"]["text"]["mlp_ratio"] = 4.0
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert can_score(small_folder) and not can_score(folder)
    options = LoadOptions("cpu", "fp32")
    found, wanted = (plugin.load_scorer(place, options) for place in (folder, small_folder))
    assert isinstance(found, Tagger) and not isinstance(wanted, Tagger)
    assert np.allclose(found.embed_text(TEXTS), wanted.embed_text(TEXTS), atol=CLOSE)


# Through the plugin


def test_card_scorer_and_tagger_are_of_one_model(small_folder: Path):
    options = LoadOptions("cpu", "fp32")
    card = plugin.describe(small_folder, options)
    scorer, tagger = plugin.load_scorer(small_folder, options), plugin.load(small_folder, options)
    assert card.model_id == scorer.model_id == tagger.model_id
    assert card.vocabulary == tagger.vocabulary
    assert [(tag.name, tag.name_zh) for tag in card.vocabulary] == [
        (name, chinese) for name, (chinese, _) in SMALL_TAGS.items()
    ]
    assert card.embedding_size == tagger.embedding_size


def test_a_search_imports_no_network_library():
    """A card, a text and a score in a process of their own."""
    code = f"""
import sys
from pathlib import Path
import numpy as np
from photoindex.tagger import Concept, ImageTokens, LoadOptions, StoredPhotos
from ram_tagger.plugin import plugin
folder, options = Path({str(BUNDLED)!r}), LoadOptions()
card = plugin.describe(folder, options)
scorer = plugin.load_scorer(folder, options)
labels = scorer.embed_labels([Concept("zebra"), Concept("café")])
tokens = ImageTokens(np.ones((2, 37, 128), np.int8), np.ones((2, 37), np.float32))
print(scorer.score(labels, [StoredPhotos(np.zeros((2, 128), np.float32), tokens)]).shape)
print(sorted({{"torch", "open_clip", "timm", "safetensors"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8"
    )
    assert done.stdout.split("\n")[:2] == ["(2, 2)", "[]"]


def damage(change: Callable[[dict[str, torch.Tensor]], None], file: Path) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize("name", ["model.safetensors", "clip.safetensors"])
def test_damaged_weights_are_named(small_folder: Path, tmp_path: Path, name: str):
    folder = Path(shutil.copytree(small_folder, tmp_path / "model"))
    whole = (folder / name).read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(ModelError, match=message):
            plugin.load_scorer(folder, LoadOptions())

    for broken in (b"", b"abc", whole[:20], whole[: len(whole) // 2], b"\xff" * 64):
        (folder / name).write_bytes(broken)
        refused(f"{name} cannot be read")
    (folder / name).write_bytes(whole)
    damage(lambda tensors: tensors.pop(sorted(tensors)[5]), folder / name)
    damage(lambda tensors: tensors.pop(sorted(tensors)[-1]), folder / name)
    refused(f"{name} lacks ")
    (folder / name).unlink()
    refused(f"no weights at .*{name}")


def test_weights_of_another_network_are_named(small_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(small_folder, tmp_path / "model"))
    file = folder / "model.safetensors"
    damage(lambda tensors: tensors.update({"decoder.fc.weight": torch.zeros(1, 5)}), file)
    with pytest.raises(ModelError, match=r"decoder\.fc\.weight is \(1, 5\), needed is \(1, 96\)"):
        plugin.load_scorer(folder, LoadOptions())
    with pytest.raises(ModelError, match="no model folder"):
        plugin.load_scorer(tmp_path, LoadOptions())
    with pytest.raises(ModelError, match="no model folder"):
        plugin.describe(tmp_path, LoadOptions())


# What it is made of


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_as_torch_reads_them(tmp_path: Path, dtype: torch.dtype):
    values = torch.randn(3, 5).to(dtype)
    save_file({"values": values, "whole": torch.arange(3)}, tmp_path / "x.safetensors")
    tensors = MappedTensors(tmp_path / "x.safetensors")
    assert set(tensors.names) == {"values", "whole"}
    assert (tensors.floats("values", 3, 5) == values.float().numpy()).all()
    with pytest.raises(CheckpointError, match=r"values is \(3, 5\), needed is \(5, 3\)"):
        tensors.floats("values", 5, 3)
    with pytest.raises(CheckpointError, match="whole has the unknown type I64"):
        tensors.floats("whole", 3)


def test_full_size_weights_are_mapped_not_read(swin_b_folder: Path):
    tensors = MappedTensors(swin_b_folder / "clip.safetensors")
    weight = tensors.floats("token_embedding.weight", 49408, 512)
    assert not weight.flags.owndata and not weight.flags.writeable


@given(arrays(np.float32, st.integers(1, 40), elements=st.floats(-30, 30, width=32)))
def test_activations_are_as_exact_as_float32(values: Floats):
    exact = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in values.tolist()]
    assert np.allclose(gelu(values.copy()), exact, rtol=2e-7, atol=1e-6)
    smooth = [x / (1 + math.exp(-1.702 * x)) for x in values.tolist()]
    assert np.allclose(quick_gelu(values.copy()), smooth, rtol=1e-6, atol=1e-6)


@given(st.integers(2, 800), st.floats(-5, 5), st.sampled_from([1e-5, 1e-12]))
def test_a_layer_norm_is_torchs(width: int, mean: float, epsilon: float):
    drawn = torch.randn(4, 3, width, generator=torch.Generator().manual_seed(width)) + mean
    weight, bias = drawn[0, 0], drawn[1, 1]
    wanted = torch.nn.functional.layer_norm(drawn, (width,), weight, bias, epsilon)
    found = layer_norm(drawn.numpy(), weight.numpy(), bias.numpy(), epsilon)
    assert np.allclose(found, wanted.numpy(), atol=1e-3 if width < 8 else 1e-4)
