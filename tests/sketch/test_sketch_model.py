"""The bundled model keeps its promises on scenes that it never saw; no font is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ram_tagger.predict import RamTagger
from ram_tagger.sketch.measure import MODEL, measure
from ram_tagger.sketch.trial import read_trial

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "photoindex" / "demo" / "pictures"
MIB = 2**20


@pytest.fixture(scope="module")
def tagger():
    return RamTagger.load(MODEL, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def trial():
    return read_trial(HERE / "trial")


@pytest.fixture(scope="module")
def figures(tagger, trial):
    return measure(tagger, *trial)


def test_it_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in MODEL.iterdir()) <= 12 * MIB


def test_closed_set(figures):
    assert figures.closed_set >= 0.94
    assert figures.precision >= 0.85
    assert figures.recall >= 0.85


def test_concepts_added_by_descriptions_alone(figures, tagger, trial):
    concepts = trial[0].concepts
    assert len(concepts) >= 12
    assert not set(concepts) & set(tagger.labels.names)
    assert figures.held_out_decoder >= 0.80
    assert figures.held_out_decoder >= figures.held_out_clip + 0.1


def test_the_decoder_answers_texts_about_two_things_better_than_similarity(figures):
    assert figures.text_decoder >= figures.text_clip + 0.1


def test_the_demo_pictures_get_the_tags_that_are_true(tagger):
    truth = json.loads((HERE / "demo_truth.json").read_text(encoding="utf-8"))
    right = found = true = 0
    for file, prediction in zip(truth, tagger.predict(PICTURES / f for f in truth), strict=True):
        given = {tag.name for tag in tagger.tags(prediction)}
        right += len(given & set(truth[file]["tags"]))
        found += len(given)
        true += len(truth[file]["tags"])
    assert right / found >= 0.85
    assert right / true >= 0.85
