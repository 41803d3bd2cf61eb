"""RAM++ as photoindex sees it: through the entry point and the tagger protocol only."""

from __future__ import annotations

import hashlib
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from standins import SMALL_TAGS, Parity

from photoindex.analysis.installed import InstalledModels
from photoindex.errors import ModelError
from photoindex.tagger import (
    ENTRY_POINT_GROUP,
    Concept,
    LoadOptions,
    StoredPhotos,
    Tagger,
    TaggerPlugin,
)
from ram_tagger.predict import RamTagger


@pytest.fixture(scope="module")
def plugin() -> TaggerPlugin:
    (point,) = entry_points(group=ENTRY_POINT_GROUP, name="ram_tagger")
    return point.load()


@pytest.fixture(scope="module")
def tagger(plugin: TaggerPlugin, small_folder: Path) -> Tagger:
    return plugin.load(small_folder, LoadOptions("cpu", "fp32"))


def test_it_knows_the_published_and_the_bundled_model(plugin: TaggerPlugin):
    sources = {source.name: source for source in plugin.sources()}
    assert sources["sketch"].bundled is not None
    published = sources["ram_plus_swin_large_14m"].files
    names = {file.name for file in published}
    assert {"ram_plus_swin_large_14m.pth", "ViT-B-16.pt", "ram_tag_list.txt"} <= names
    for file in published:
        assert file.url.startswith("https://")
        assert len(file.sha256) == hashlib.sha256().digest_size * 2


def test_it_accepts_its_own_folders_only(plugin: TaggerPlugin, small_folder: Path, tmp_path: Path):
    assert plugin.accepts(small_folder)
    assert not plugin.accepts(tmp_path)


def test_a_loaded_model_is_a_tagger(tagger: Tagger):
    assert isinstance(tagger, Tagger)
    assert tagger.model_id.startswith("small-")
    assert tagger.embedding_size == 64
    assert tagger.batch_size == 4
    assert [(tag.name, tag.name_zh) for tag in tagger.vocabulary] == [
        (name, chinese) for name, (chinese, _) in SMALL_TAGS.items()
    ]


def test_analysis_keeps_what_later_questions_need(tagger: Tagger, parity: Parity):
    picture = parity.recipe.picture(0)
    (analysis,) = tagger.analyse([picture])
    assert all(tag.probability >= tagger.floor for tag in analysis.tags)
    assert {tag.threshold for tag in analysis.tags} <= {0.0, 1.0}  # each tag's own
    assert np.allclose(analysis.stored.embedding, tagger.embed_pictures([picture])[0], atol=1e-6)

    described = [Concept(name, tuple(texts)) for name, (_, texts) in SMALL_TAGS.items()]
    later = tagger.score(tagger.embed_labels(described), [StoredPhotos.of([analysis.stored])])[0]
    seen = {tag.name: tag.probability for tag in analysis.tags}
    for concept, probability in zip(described, later, strict=True):
        if concept.name in seen:
            assert probability == pytest.approx(seen[concept.name], abs=0.01)


def test_texts_and_pictures_share_a_space_of_unit_vectors(tagger: Tagger, parity: Parity):
    texts = tagger.embed_text(["a cat", "a dog"])
    pictures = tagger.embed_pictures([parity.recipe.picture(1)])
    assert texts.shape == (2, 64) and pictures.shape == (1, 64)
    assert np.allclose(np.linalg.norm(np.concatenate([texts, pictures]), axis=1), 1, atol=1e-5)


def test_errors_are_photoindexs_own(plugin: TaggerPlugin, tagger: Tagger, tmp_path: Path):
    with pytest.raises(ModelError, match="no model folder"):
        plugin.load(tmp_path, LoadOptions("cpu"))
    with pytest.raises(ModelError, match="expected one"):
        plugin.build(tmp_path, tmp_path / "model", "mine")
    with pytest.raises(ModelError, match="without image tokens"):
        labels = tagger.embed_labels([Concept("cat")])
        tagger.score(labels, [StoredPhotos(np.zeros((1, 64), np.float32), None)])


def test_files_put_together_by_hand_are_imported_under_the_name_of_the_weights(
    swin_b_files: Path, tmp_path: Path
):
    """docs/how-to/air-gapped.md, with another checkpoint."""
    models = InstalledModels(tmp_path / "models", "cpu", "fp32")
    folder = models.add(swin_b_files, None, lambda *_: None)
    assert folder == tmp_path / "models" / "ram_plus_swin_b_224"
    tagger = models.load("ram_plus_swin_b_224")
    assert tagger.model_id.startswith("ram_plus_swin_b_224-")
    assert len(tagger.vocabulary) == 24


def test_the_air_gapped_page_has_the_sums_that_a_download_is_checked_against(
    plugin: TaggerPlugin,
):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "air-gapped.md"
    text = page.read_text(encoding="utf-8")
    (published,) = (s for s in plugin.sources() if s.name == "ram_plus_swin_large_14m")
    for file in published.files:
        assert f"{file.sha256}  {file.name}" in text


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), (ModelError, "BATCH_SIZE.*--device cpu")),
        (RuntimeError("shapes differ"), (RuntimeError, "shapes differ")),
    ],
)
def test_a_full_gpu_is_told_from_other_trouble(
    tagger: Tagger,
    monkeypatch: pytest.MonkeyPatch,
    raised: RuntimeError,
    told: tuple[type[Exception], str],
):
    def fail(*arguments: object) -> None:
        raise raised

    monkeypatch.setattr(RamTagger, "embed_pictures", fail)
    monkeypatch.setattr(RamTagger, "predict", fail)
    with pytest.raises(told[0], match=told[1]):
        tagger.embed_pictures([])
    with pytest.raises(told[0], match=told[1]):
        tagger.analyse([Image.new("RGB", (32, 32))])
