"""Installed models: what is here is not fetched again, and opened three ways."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import photoindex.demo
from photoindex.analysis import taggers
from photoindex.analysis.installed import InstalledModels
from photoindex.config import DEFAULT_MODEL
from photoindex.errors import ModelError
from photoindex.tagger import Concept, LoadOptions, StoredPhotos, no_progress
from ram_tagger.sources import BUNDLED

PICTURES = Path(photoindex.demo.__file__).parent / "pictures"


def test_a_model_that_is_here_is_not_pulled_again(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / DEFAULT_MODEL)
    told: list[str] = []
    folder = InstalledModels(tmp_path).pull(DEFAULT_MODEL, lambda what, *_: told.append(what))
    assert folder == tmp_path / DEFAULT_MODEL
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == [DEFAULT_MODEL]


def test_a_bundled_model_needs_no_pull(tmp_path: Path) -> None:
    assert InstalledModels(tmp_path).pull("sketch", no_progress) == BUNDLED


@pytest.fixture
def zoo(tmp_path: Path) -> InstalledModels:
    """A models folder with a vocabulary of one's own that borrows the bundled model's CLIP."""
    vocabulary = tmp_path / "zoo.txt"
    vocabulary.write_text("# clip: sketch\nzebra\t斑马\nlion\n", encoding="utf-8")
    models = InstalledModels(tmp_path / "models", "cpu", "fp32")
    models.add(vocabulary, None, no_progress)
    return models


@pytest.mark.parametrize("name", ["sketch", "zoo"])
def test_card_scorer_and_tagger_are_of_one_model(zoo: InstalledModels, name: str) -> None:
    card, scorer, tagger = zoo.describe(name), zoo.scorer(name), zoo.load(name)
    assert card.model_id == scorer.model_id == tagger.model_id
    assert card.vocabulary == tuple(tagger.vocabulary)
    assert card.embedding_size == tagger.embedding_size
    assert "lion" in {tag.name for tag in card.vocabulary}


@pytest.mark.parametrize("name", ["sketch", "zoo"])
def test_a_scorer_gives_the_taggers_figures(zoo: InstalledModels, name: str) -> None:
    scorer, tagger = zoo.scorer(name), zoo.load(name)
    concepts = [Concept("zebra"), Concept("cat", ("a furry animal", "whiskers"))]
    labels, wanted = scorer.embed_labels(concepts), tagger.embed_labels(concepts)
    assert labels.names == wanted.names and labels.counts.tolist() == wanted.counts.tolist()
    assert np.allclose(labels.embeddings, wanted.embeddings, atol=1e-4)
    assert np.allclose(scorer.embed_text(["a lion"]), tagger.embed_text(["a lion"]), atol=1e-4)
    pictures = [Image.open(PICTURES / "zoo" / name) for name in ("lions.jpg", "zebra.jpg")]
    blocks = [StoredPhotos.of([found.stored]) for found in tagger.analyse(pictures)]
    found = scorer.score(labels, iter(blocks))
    assert found.shape == (2, 2)
    assert np.allclose(found, tagger.score(labels, blocks), atol=1e-4)


def test_a_model_that_is_not_here_says_how_to_get_it(zoo: InstalledModels) -> None:
    for ask in (zoo.describe, zoo.scorer, zoo.load):
        with pytest.raises(ModelError, match=f"photoindex models pull {DEFAULT_MODEL}"):
            ask(DEFAULT_MODEL)


def test_a_borrowed_clip_needs_someone_to_lend_it(zoo: InstalledModels) -> None:
    folder = zoo.folder_of("zoo")
    assert folder is not None
    for ask in (taggers.describe, taggers.load_scorer, taggers.load_tagger):
        with pytest.raises(ModelError, match="borrows the CLIP of sketch"):
            ask(folder, LoadOptions())


@pytest.mark.parametrize("clip", ["../sketch", "/models/../sketch", ".."])
def test_a_borrowed_clip_is_no_way_out_of_the_folder(
    zoo: InstalledModels, tmp_path: Path, clip: str
) -> None:
    folder = zoo.add(vocabulary(tmp_path, "sketch"), "outside", lambda what, done, total: None)
    (folder / "zero-shot.json").write_text(json.dumps({"clip": clip}))
    with pytest.raises(ModelError, match="leads out of the folder"):
        zoo.describe("outside")


def test_models_that_borrow_from_each_other_are_refused(
    zoo: InstalledModels, tmp_path: Path
) -> None:
    folder = zoo.add(vocabulary(tmp_path, "sketch"), "circle", lambda what, done, total: None)
    (folder / "zero-shot.json").write_text(json.dumps({"clip": "circle"}))
    with pytest.raises(ModelError, match="borrows it in turn"):
        zoo.describe("circle")


def vocabulary(folder: Path, clip: str) -> Path:
    file = folder / "words.txt"
    file.write_text(f"# clip: {clip}\na lion\n", encoding="utf-8")
    return file
