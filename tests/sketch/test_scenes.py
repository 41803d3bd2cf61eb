"""Scenes are the same for the same seed, and everything said of them is true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ram_tagger.clip import UNKNOWN, Tokenizer
from ram_tagger.sketch.album import pages, write_album
from ram_tagger.sketch.backdrops import PAINTERS
from ram_tagger.sketch.batches import NONSENSE, Scenes
from ram_tagger.sketch.captions import make_caption, make_short_caption, scene_facts
from ram_tagger.sketch.descriptions import describe
from ram_tagger.sketch.recipe import sketch_config
from ram_tagger.sketch.scenes import make_scene, render, scene_tags
from ram_tagger.sketch.trial import make_trial, read_trial, write_trial
from ram_tagger.sketch.vocabulary import BACKDROPS, drawings, held_out, tags
from ram_tagger.training.triplets import NOBODY, Share, Triplets, holding

pytestmark = pytest.mark.usefixtures("fonts")
seeds = st.integers(0, 2**32 - 1)


def scene_of(seed: int):
    return make_scene(np.random.default_rng(seed))


def test_vocabulary_is_large_and_bilingual():
    assert len(tags()) >= 100
    assert len(held_out()) >= 12
    assert not set(held_out()) & set(tags())
    assert all(any("\u4e00" <= c <= "\u9fff" for c in zh) for zh in tags().values())
    assert set(PAINTERS) == set(BACKDROPS)


def test_every_label_has_four_to_twelve_descriptions():
    counts = {len(describe(name)) for name in (*tags(), *held_out())}
    assert min(counts) >= 4
    assert max(counts) <= 12
    assert len(counts) > 3


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_equal_seeds_draw_equal_scenes(seed):
    once, again = scene_of(seed), scene_of(seed)
    assert once == again
    assert render(once, 96).tobytes() == render(again, 96).tobytes()


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_a_scene_looks_alike_at_any_size(seed):
    scene = scene_of(seed)
    small = np.asarray(render(scene, 96), dtype=float)
    large = np.asarray(render(scene, 384).resize((96, 96)), dtype=float)
    assert np.abs(small - large).mean() < 16


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_drawings_stay_inside_and_one_to_four(seed):
    scene = scene_of(seed)
    assert 1 <= len(scene.names) == len(set(scene.names)) <= 4
    for placed in scene.placements:
        for centre in (placed.x, placed.y):
            assert placed.size / 2 <= centre + 1e-3
            assert centre - 1e-3 <= 1 - placed.size / 2


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_captions_state_only_facts_of_the_scene(seed):
    rng = np.random.default_rng(seed)
    scene = make_scene(rng)
    for caption in (make_caption(rng, scene), make_short_caption(rng, scene)):
        assert caption.facts
        assert caption.facts <= scene_facts(scene)


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_held_out_drawings_are_never_tags(seed):
    scene = scene_of(seed)
    true = scene_tags(scene)
    assert true <= set(tags())
    assert true >= set(scene.names) - set(held_out())
    for name in scene.names:
        assert set(drawings()[name].categories) <= true


def test_the_text_tower_knows_every_word_of_the_descriptions():
    tokenize = Tokenizer(sketch_config().clip)
    texts = [text for name in (*tags(), *held_out()) for text in describe(name)]
    assert not (tokenize(texts) == UNKNOWN).any()
    assert (tokenize(["a zyzzyva"]) == UNKNOWN).any()


def drawn(step: int, size: int, captions: int, wrong: float = 0.0) -> Triplets:
    scenes = Scenes(sketch_config().clip, seed=5, captions=captions, wrong=wrong)
    (batch,) = next(iter(scenes.steps_from(step, Share(size, size))))
    return batch


def test_a_batch_knows_which_captions_hold():
    batch = drawn(step=0, size=32, captions=2)
    assert batch.pixels.shape == (32, 3, 96, 96)
    assert batch.targets.shape == (32, len(tags()))
    holds = holding(batch.stated, batch.true)
    own = batch.owners.unsqueeze(0) == torch.arange(32).unsqueeze(1)
    assert holds.shape == own.shape == (32, 64)
    assert holds[own].all()
    assert (holds & ~own).any()


def test_every_step_is_drawn_from_its_own_seed():
    scenes = Scenes(sketch_config().clip, seed=5, captions=1)
    steps = scenes.steps_from(0, Share(4, 4))
    one, two = next(steps)[0], next(steps)[0]
    assert not torch.equal(one.pixels, two.pixels)
    again = drawn(step=1, size=4, captions=1)
    assert torch.equal(two.pixels, again.pixels)
    assert torch.equal(two.texts, again.texts)


def test_wrong_captions_belong_to_no_picture():
    batch = drawn(step=0, size=24, captions=1, wrong=1.0)
    assert len(batch.owners) == 48
    assert (batch.owners[24:] == NOBODY).all()
    assert not holding(batch.stated, batch.true)[:, 24:].all(dim=1).any()


def test_nothing_of_nonsense_is_known():
    ids = Tokenizer(sketch_config().clip)(NONSENSE)
    assert ((ids == UNKNOWN).sum(dim=1) >= 1).all()
    assert ((ids > UNKNOWN).sum(dim=1) == 2).all()  # the first and the last token


def test_the_album_beside_the_demo_can_be_drawn_again(tmp_path):
    write_album(tmp_path / "album", tmp_path / "truth.json")
    kept = Path(__file__).with_name("demo_truth.json")
    assert json.loads((tmp_path / "truth.json").read_text()) == json.loads(kept.read_text())
    assert {p.file for p in pages()} == {
        str(p.relative_to(tmp_path / "album")) for p in (tmp_path / "album").rglob("*.*")
    }


def test_the_trial_kept_with_the_tests_is_the_one_made_from_its_seed(tmp_path):
    trial, pictures = make_trial()
    kept, shown = read_trial(Path(__file__).with_name("trial"))
    assert kept == trial
    assert len(shown) == len(pictures)
    differences = [
        np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean()
        for a, b in zip(pictures[::50], shown[::50], strict=True)
    ]
    assert max(differences) < 4
    write_trial(tmp_path, trial, pictures[:500])
    assert (tmp_path / "trial.json").read_bytes()
