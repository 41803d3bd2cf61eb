"""Annotated pictures as triplets: what is seen, in which order, and what becomes of bad files."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_data import (
    AS_IT_IS,
    CONFIG,
    LIVELY,
    PICTURES,
    SIZE,
    TAGS,
    SmallData,
    annotation,
    same,
    steps,
    write_small_data,
)

from ram_tagger.clip import Tokenizer
from ram_tagger.config import RamConfig
from ram_tagger.errors import RecipeError
from ram_tagger.pixels import clip_pixels, normalised, ram_pixels, squeezed
from ram_tagger.predict import open_picture
from ram_tagger.training.annotations import Annotation, Annotations
from ram_tagger.training.captions import clean_caption
from ram_tagger.training.pictures import PictureTriplets, augmentation
from ram_tagger.training.recipe import Augmentation
from ram_tagger.training.triplets import NOBODY, Share, holding, padded

EPOCH = Share(pictures=PICTURES, at_once=PICTURES)
STEP = Share(pictures=8, at_once=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SmallData:
    return write_small_data(tmp_path_factory.mktemp("pictures"))


# Chance


@pytest.fixture(scope="module")
def four_steps(data):
    """32 of 12 pictures: across the ends of two epochs."""
    return steps(data.triplets(), STEP, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_equal_steps_whoever_reads_the_pictures(data, four_steps, workers: int):
    torch.manual_seed(workers)
    again = steps(data.triplets(workers=workers), STEP, 4)
    assert [len(parts) for parts in again] == [2, 2, 2, 2]
    for ours, theirs in zip(again, four_steps, strict=True):
        assert all(map(same, ours, theirs))


@pytest.mark.parametrize("first", [1, 3])
def test_steps_from_a_later_one_are_the_tail_of_all(data, four_steps, first: int):
    tail = steps(data.triplets(), STEP, 4 - first, first)
    for ours, theirs in zip(tail, four_steps[first:], strict=True):
        assert all(map(same, ours, theirs))


@pytest.mark.parametrize("size", [2, 4])
def test_the_shares_of_all_processes_are_the_share_of_one(data, four_steps, size: int):
    shares = [Share(8, 4, rank, size) for rank in range(size)]
    of_each = [steps(data.triplets(), share, 4) for share in shares]
    for number, whole in enumerate(four_steps):
        for name in ("pixels", "seen", "targets", "texts"):
            ours = [getattr(part, name) for own in of_each for part in own[number]]
            assert torch.equal(torch.cat(ours), torch.cat([getattr(p, name) for p in whole]))


def test_a_picture_comes_otherwise_in_another_epoch_and_with_another_seed(data):
    dataset, other = data.triplets().dataset, data.triplets(seed=1).dataset
    for row in range(PICTURES):
        first, again, later = dataset[0, row], dataset[0, row], dataset[1, row]
        assert torch.equal(first.pixels, again.pixels) and first.caption == again.caption
        assert not torch.equal(first.pixels, later.pixels)
        assert not torch.equal(first.pixels, other[0, row].pixels)


def test_every_caption_of_a_picture_is_drawn_sooner_or_later(data):
    dataset = data.triplets(AS_IT_IS).dataset
    drawn = {dataset[epoch, 2].caption for epoch in range(30)}
    assert drawn == set(map(clean_caption, data.annotations[2].captions))
    assert len(drawn) == 3


def test_drawing_a_sample_leaves_the_chance_of_training_alone(data):
    dataset = data.triplets().dataset
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _ = dataset[0, 0]
    assert torch.equal(torch.rand(3), expected)


# Order


def source_of(pictures: int, seed: int) -> PictureTriplets:
    rows = Annotations(annotation(row, f"{row}.png") for row in range(pictures))
    return SmallData(Path(), rows).triplets(seed=seed)


@settings(deadline=None)
@given(
    pictures=st.integers(1, 20),
    own=st.integers(1, 7),
    at_once=st.integers(1, 8),
    size=st.integers(1, 3),
    first=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_every_epoch_goes_through_all_pictures_once(
    pictures: int, own: int, at_once: int, size: int, first: int, seed: int
):
    source = source_of(pictures, seed)
    whole = own * size
    in_time = -(-3 * pictures // whole)
    taken = []
    for step in range(in_time):
        for rank in range(size):
            share = Share(whole, at_once, rank, size)
            parts = list(islice(source.keys_from(step, share), -(-own // at_once)))
            assert all(0 < len(part) <= at_once for part in parts)
            keys = [key for part in parts for key in part]
            assert len(keys) == own
            taken += keys
    for epoch in range(3):
        rows = [row for of, row in taken if of == epoch]
        assert sorted(rows) == list(range(pictures))
    one = Share(whole, whole)
    after = list(islice(source.keys_from(first, one), 2))
    assert after == list(islice(source.keys_from(0, one), first, first + 2))


def test_every_epoch_and_every_seed_has_an_order_of_its_own():
    orders = [
        keys
        for seed in range(3)
        for keys in islice(source_of(20, seed).keys_from(0, Share(20, 20)), 3)
    ]
    assert len({tuple(row for _, row in keys) for keys in orders}) == 9


def test_a_step_may_hold_more_pictures_than_there_are(data):
    ((part,),) = steps(data.triplets(AS_IT_IS), Share(30, 30), 1)
    times = (part.pixels.flatten(1).unsqueeze(1) == part.pixels.flatten(1)).all(dim=2).sum(dim=1)
    assert len(times) == 30 and set(times.tolist()) == {2, 3}


# What is in a triplet


def test_unchanged_pictures_are_what_tagging_sees_and_what_clip_sees(data):
    ram = RamConfig(image_size=SIZE)
    dataset = data.triplets(AS_IT_IS).dataset
    for row in range(PICTURES):
        sample = dataset[0, row]
        picture = [open_picture(data.images / data.annotations[row].path)]
        pixels = normalised(sample.pixels.unsqueeze(0), ram.mean, ram.std)
        seen = normalised(sample.seen.unsqueeze(0), CONFIG.clip.mean, CONFIG.clip.std)
        assert torch.equal(pixels, ram_pixels(picture, ram))
        assert torch.equal(seen, clip_pixels(picture, CONFIG.clip))


def test_clip_sees_pictures_whole_however_they_are_changed(data):
    changed, whole = data.triplets(LIVELY).dataset, data.triplets(AS_IT_IS).dataset
    for row in range(PICTURES):
        assert torch.equal(changed[3, row].seen, whole[3, row].seen)


def test_tags_owners_texts_and_facts(data):
    source = data.triplets(AS_IT_IS)
    ((part,),) = steps(source, EPOCH, 1)
    (keys,) = islice(source.keys_from(0, EPOCH), 1)
    tokenize = Tokenizer(CONFIG.clip)
    assert part.pixels.shape == (PICTURES, 3, SIZE, SIZE) and part.pixels.dtype == torch.uint8
    assert part.targets.shape == (PICTURES, TAGS) and part.targets.dtype == torch.float32
    assert part.owners.tolist() == list(range(PICTURES))
    assert part.skipped == ()
    for place, (_, row) in enumerate(keys):
        shown = data.annotations[row]
        assert part.targets[place].nonzero().flatten().tolist() == list(shown.tags)
        assert set(part.targets[place].tolist()) <= {0.0, 1.0}
        assert facts(part.true[place]) == shown.tags
        texts = tokenize(list(map(clean_caption, shown.captions)))
        (drawn,) = (texts == part.texts[place]).all(dim=1).nonzero().flatten().tolist()
        assert facts(part.stated[place]) == shown.stated[drawn]


def test_a_picture_may_show_no_tag(data):
    bare = Annotation(data.annotations[0].path, ("a cat",), (), ((),))
    source = SmallData(data.images, Annotations([bare])).triplets()
    ((part,),) = steps(source, Share(2, 2), 1)
    assert not part.targets.any()
    assert part.true.tolist() == part.stated.tolist() == [[NOBODY], [NOBODY]]


def facts(row: torch.Tensor) -> tuple[int, ...]:
    return tuple(row[row != NOBODY].tolist())


fact_lists = st.lists(st.lists(st.integers(0, 6), max_size=4), max_size=5)


@given(stated=fact_lists, true=fact_lists)
def test_a_text_holds_where_all_that_it_states_is_true(
    stated: list[list[int]], true: list[list[int]]
):
    found = holding(padded(stated), padded(true))
    expected = [[bool(said) and set(said) <= set(facts) for said in stated] for facts in true]
    assert found.shape == (len(true), len(stated)) and found.dtype == torch.bool
    assert found.tolist() == expected


# Pictures that cannot be read


@pytest.fixture
def damaged(data, tmp_path) -> SmallData:
    """Four of twelve: cut short, something else, no file, a folder."""
    images = tmp_path / "images"
    shutil.copytree(data.images, images)
    paths = [images / data.annotations[row].path for row in range(4)]
    paths[0].write_bytes(paths[0].read_bytes()[:200])
    paths[1].write_text("<html>not found</html>")
    paths[2].unlink()
    paths[3].unlink()
    paths[3].mkdir()
    return SmallData(images, data.annotations)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pictures_are_replaced_and_reported(data, damaged, workers: int):
    ((part,),) = steps(damaged.triplets(AS_IT_IS, workers), EPOCH, 1)
    (keys,) = islice(damaged.triplets().keys_from(0, EPOCH), 1)
    bad = {damaged.annotations[row].path for row in range(4)}
    assert {skip.path for skip in part.skipped} == bad
    for skip in part.skipped:
        assert f"{damaged.images / skip.path}: no picture that can be read" in skip.reason
    whole = data.triplets(AS_IT_IS).dataset
    good = {row: whole[0, row] for row in range(4, PICTURES)}
    for place, (_, row) in enumerate(keys):
        same_as = [r for r, s in good.items() if torch.equal(s.pixels, part.pixels[place])]
        assert len(same_as) == 1 and (row < 4 or same_as == [row])
        assert facts(part.true[place]) == damaged.annotations[same_as[0]].tags
        assert torch.equal(part.seen[place], good[same_as[0]].seen)


def test_the_same_pictures_take_the_places_of_bad_ones_every_time(damaged):
    ours, theirs = steps(damaged.triplets(), STEP, 3), steps(damaged.triplets(workers=2), STEP, 3)
    for a, b in zip(ours, theirs, strict=True):
        assert all(map(same, a, b))


@pytest.mark.parametrize("workers", [0, 2])
def test_without_any_picture_the_folder_is_asked_about(data, tmp_path, workers: int):
    source = SmallData(tmp_path, data.annotations).triplets(workers=workers)
    with pytest.raises(RecipeError) as refusal:
        steps(source, STEP, 1)
    message = str(refusal.value)
    assert message.startswith("none of 50 pictures could be read; the first: ")
    assert str(tmp_path) in message and message.endswith("is the images folder right?")
    assert len(message.splitlines()) == 1


# Augmentation


def squares(recipe: Augmentation, picture: Image.Image, many: int = 40) -> list[Image.Image]:
    augment = augmentation(recipe, SIZE)
    torch.manual_seed(0)
    return [augment(picture) for _ in range(many)]


@pytest.fixture(scope="module")
def places() -> Image.Image:
    """Red tells how far right a pixel is, green how far down."""
    grey = np.linspace(0, 255, 256).astype(np.uint8)
    right, down = np.meshgrid(grey, grey)
    return Image.fromarray(np.stack([right, down, np.full_like(right, 128)], axis=-1))


def test_without_any_change_all_squares_are_the_whole_picture(places):
    whole = squeezed(places, SIZE)
    assert all(square == whole for square in squares(AS_IT_IS, places, 3))


def test_a_crop_keeps_at_least_the_part_that_was_asked_for(places):
    parts = []
    for square in squares(Augmentation(smallest_crop=0.5), places):
        assert square.size == (SIZE, SIZE)
        (left, right), (top, bottom), _ = square.getextrema()
        parts.append((right - left) * (bottom - top) / 255**2)
    assert min(parts) > 0.5 * 0.9
    assert min(parts) < 0.65 and max(parts) > 0.85
    assert len(set(parts)) > 20


def test_every_other_picture_is_mirrored(places):
    whole = squeezed(places, SIZE)
    mirrored = whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = squares(Augmentation(flip=True), places)
    assert all(square in (whole, mirrored) for square in found)
    assert 10 < sum(square == mirrored for square in found) < 30


def test_operations_change_pictures_and_keep_their_size(places):
    whole = np.asarray(squeezed(places, SIZE), np.float32)
    found = squares(Augmentation(operations=2, strength=15), places)
    assert all((square.size, square.mode) == ((SIZE, SIZE), "RGB") for square in found)
    changed = [np.abs(np.asarray(square, np.float32) - whole).mean() for square in found]
    assert sum(change > 1 for change in changed) > len(found) / 2


def test_stronger_operations_change_more(places):
    whole = np.asarray(squeezed(places, SIZE), np.float32)
    means = [
        np.mean(
            [
                np.abs(np.asarray(square, np.float32) - whole).mean()
                for square in squares(Augmentation(operations=1, strength=strength), places)
            ]
        )
        for strength in (2, 25)
    ]
    assert means[0] < means[1]
