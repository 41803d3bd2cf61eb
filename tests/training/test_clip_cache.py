"""CLIP's embeddings of a training set: computed once, continued, and never those of other data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from small_data import (
    AS_IT_IS,
    LIVELY,
    PICTURES,
    SmallData,
    annotation,
    steps,
    write_picture,
    write_small_data,
)

from photoindex.tagger import Progress, no_progress
from ram_tagger.clip import Clip
from ram_tagger.errors import Ended, RecipeError
from ram_tagger.label_bank import open_clip_of
from ram_tagger.training.annotations import Annotations
from ram_tagger.training.clip_cache import ClipCache, facts_of, fill_cache, open_cache
from ram_tagger.training.teacher import AT_ONCE, Teacher
from ram_tagger.training.triplets import Share

EPOCH = Share(pictures=PICTURES, at_once=PICTURES)
PICTURE, CAPTION = "CLIP looks at pictures", "CLIP reads captions"


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher(open_clip_of("sketch"), torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SmallData:
    return write_small_data(tmp_path_factory.mktemp("pictures"))


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache of some data in a folder."""

    folder: Path
    teacher: Teacher

    def fill(
        self, data: SmallData, progress: Progress = no_progress, stop: Event | None = None
    ) -> None:
        facts = facts_of(data.annotations, data.images, self.teacher)
        given = (self.folder, facts, data.annotations, data.images, self.teacher)
        fill_cache(*given, progress, stop or Event())

    def open(self, data: SmallData) -> ClipCache:
        facts = facts_of(data.annotations, data.images, self.teacher)
        return open_cache(self.folder, facts, data.annotations)

    def filled(self, data: SmallData) -> ClipCache:
        self.fill(data)
        return self.open(data)


@pytest.fixture
def cache(tmp_path, teacher) -> Cache:
    return Cache(tmp_path / "cache", teacher)


# What training sees through a cache


@pytest.mark.parametrize("workers", [0, 2])
def test_triplets_are_those_without_a_cache(data, cache, teacher, workers: int):
    cached = steps(data.triplets(LIVELY, workers, cache=cache.filled(data)), EPOCH, 2)
    plain = steps(data.triplets(LIVELY), EPOCH, 2)
    for (ours,), (theirs,) in zip(cached, plain, strict=True):
        for name in ("pixels", "targets", "owners", "stated", "true"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name))
        assert ours.seen.shape == ours.texts.shape == (PICTURES, 128)
        assert torch.allclose(teacher.see(ours.seen), teacher.see(theirs.seen), atol=1e-5)
        assert torch.allclose(teacher.read(ours.texts), teacher.read(theirs.texts), atol=1e-5)


def test_pictures_keep_their_own_length_and_captions_have_unit_length(data, cache):
    filled = cache.filled(data)
    assert filled.pictures.shape == (PICTURES, 128)
    assert filled.captions.shape == (len(data.annotations.captions), 128)
    assert np.allclose(np.linalg.norm(filled.captions, axis=1), 1, atol=1e-5)
    assert (np.abs(np.linalg.norm(filled.pictures, axis=1) - 1) > 0.1).all()


def test_an_unreadable_picture_has_no_embedding_and_is_still_reported(data, cache, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(data.images, images)
    broken = data.annotations[4].path
    (images / broken).write_bytes(b"no picture")
    damaged = SmallData(images, data.annotations)
    filled = cache.filled(damaged)
    assert np.isnan(filled.pictures[4]).all()
    assert np.isfinite(np.delete(filled.pictures, 4, axis=0)).all()
    assert reported(damaged, filled) == {broken: f"{images / broken}: no picture that can be read"}
    # Mended later, it has still no embedding to be trained on.
    shutil.copy(data.images / broken, images / broken)
    assert reported(damaged, filled) == {
        broken: f"{images / broken}: could not be read when the CLIP cache was filled"
    }


def reported(data: SmallData, cache: ClipCache) -> dict[str, str]:
    ((part,),) = steps(data.triplets(AS_IT_IS, cache=cache), EPOCH, 1)
    assert len(part.pixels) == PICTURES
    assert part.seen.isfinite().all() and part.texts.isfinite().all()
    return {skip.path: ":".join(skip.reason.split(":")[:2]) for skip in part.skipped}


# Interrupted


def many(folder: Path) -> SmallData:
    """More pictures than are embedded at a time, of two files: one of the first, one of the rest.

    Twice as many captions.
    """
    folder.mkdir()
    for row, name in enumerate(("first.png", "rest.png")):
        write_picture(folder / name, row)
    rows = [
        annotation(1 + 3 * row, "first.png" if row < AT_ONCE else "rest.png")
        for row in range(AT_ONCE + 20)
    ]
    return SmallData(folder, Annotations(rows))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> SmallData:
    return many(tmp_path_factory.mktemp("large") / "images")


@pytest.fixture(scope="module")
def whole(large, teacher, tmp_path_factory: pytest.TempPathFactory) -> ClipCache:
    """What an uninterrupted run makes."""
    return Cache(tmp_path_factory.mktemp("whole") / "cache", teacher).filled(large)


def telling(told: list[tuple[str, int, int]], then: Callable[[], object] | None = None) -> Progress:
    """Progress that is put down, and what happens at each."""

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if then is not None:
            then()

    return progress


def rows_filled(folder: Path) -> tuple[int, int]:
    facts = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
    return facts["pictures"], facts["captions"]


@pytest.mark.parametrize(
    ("after", "rows"),
    [
        (1, (AT_ONCE, 0)),
        (2, (AT_ONCE + 20, 0)),
        (4, (AT_ONCE + 20, 2 * AT_ONCE)),
    ],
)
def test_an_interrupted_cache_is_continued(large, whole, cache, after: int, rows: tuple[int, int]):
    in_all = [
        (PICTURE, AT_ONCE, AT_ONCE + 20),
        (PICTURE, AT_ONCE + 20, AT_ONCE + 20),
        (CAPTION, AT_ONCE, 2 * AT_ONCE + 40),
        (CAPTION, 2 * AT_ONCE, 2 * AT_ONCE + 40),
        (CAPTION, 2 * AT_ONCE + 40, 2 * AT_ONCE + 40),
    ]
    told: list[tuple[str, int, int]] = []
    stop = Event()
    with pytest.raises(Ended, match="the same command again goes on"):
        cache.fill(large, telling(told, lambda: len(told) == after and stop.set()), stop)
    assert told == in_all[:after] and rows_filled(cache.folder) == rows
    with pytest.raises(
        RecipeError, match="is unfinished: go on with ram-tagger train --cache-clip"
    ):
        cache.open(large)
    cache.fill(large, telling(told))
    assert told == in_all
    filled = cache.open(large)
    assert np.array_equal(filled.pictures, whole.pictures)
    assert np.array_equal(filled.captions, whole.captions)


def test_what_is_embedded_is_not_looked_at_again(whole, teacher, tmp_path):
    data, cache = many(tmp_path / "images"), Cache(tmp_path / "cache", teacher)

    def kill() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fill(data, telling([], kill))
    (data.images / "first.png").unlink()
    filled = cache.filled(data)
    assert np.array_equal(filled.pictures, whole.pictures)


def test_a_filled_cache_is_left_alone(data, cache):
    cache.fill(data)
    before = {path.name: path.stat().st_mtime_ns for path in cache.folder.iterdir()}
    told: list[tuple[str, int, int]] = []
    cache.fill(data, telling(told))
    assert not told
    assert {path.name: path.stat().st_mtime_ns for path in cache.folder.iterdir()} == before
    assert set(before) == {"cache.json", "pictures.npy", "captions.npy"}


# Of something else


def other_caption(data: SmallData) -> SmallData:
    *rows, last = data.annotations
    said = ("something else", *last.captions[1:])
    return SmallData(data.images, Annotations([*rows, replace(last, captions=said)]))


def one_less(data: SmallData) -> SmallData:
    return SmallData(data.images, Annotations(list(data.annotations)[:-1]))


def other_images(data: SmallData) -> SmallData:
    return SmallData(data.images / "inner", data.annotations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_caption, "was made with other annotations: delete it, or name another"),
        (one_less, "was made with other annotations"),
        (other_images, "was made with another images folder"),
    ],
)
def test_other_data_are_refused(
    data, cache, change: Callable[[SmallData], SmallData], message: str
):
    filled = cache.filled(data)
    for use in (cache.open, cache.fill):
        with pytest.raises(RecipeError, match=message):
            use(change(data))
    assert np.array_equal(cache.open(data).pictures, filled.pictures)


def test_other_tags_need_no_other_cache(data, cache):
    cache.fill(data)
    untagged = [replace(a, tags=(), stated=((),) * len(a.captions)) for a in data.annotations]
    assert len(cache.open(SmallData(data.images, Annotations(untagged))).pictures) == PICTURES


def test_another_clip_is_refused(data, cache, teacher):
    cache.fill(data)
    network = open_clip_of("sketch").network
    with torch.no_grad():
        network.load_state_dict(
            {name: value.clone() for name, value in network.state_dict().items()}, assign=True
        )
        next(network.parameters()).flatten()[0] += 1e-3
    other = Cache(cache.folder, Teacher(Clip(teacher.clip.config, network), torch.device("cpu")))
    for use in (other.open, other.fill):
        with pytest.raises(RecipeError, match="was made with another CLIP"):
            use(data)


def test_a_cache_that_is_not_there_says_how_to_make_it(data, cache):
    with pytest.raises(RecipeError, match=r"no CLIP cache in .*: fill it with .* --cache-clip"):
        cache.open(data)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"clip": "a"}', '{"pictures": 3, "of": 4}'])
def test_a_damaged_note_is_refused(data, cache, text: str):
    cache.fill(data)
    (cache.folder / "cache.json").write_text(text)
    for use in (cache.open, cache.fill):
        with pytest.raises(RecipeError, match=r"cache\.json is damaged: .*; delete the folder"):
            use(data)


@pytest.mark.parametrize("name", ["pictures.npy", "captions.npy"])
@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_missing_and_damaged_embeddings_are_refused(data, cache, name: str, content: bytes | None):
    cache.fill(data)
    (cache.folder / name).unlink()
    if content is not None:
        (cache.folder / name).write_bytes(content)
    for use in (cache.open, cache.fill):
        with pytest.raises(RecipeError, match=f"{name} is damaged: .*; delete the folder"):
            use(data)
