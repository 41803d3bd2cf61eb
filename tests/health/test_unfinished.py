"""What is still to be done, and whether there is room for more."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cared import Cared, notes, problems

from photoindex.config import Settings
from photoindex.health.library_folder import check_space
from photoindex.health.reading import Look
from photoindex.health.records import Finding, Verdict
from photoindex.library import Library
from photoindex.tagger import no_progress

WORDS = "# clip: sketch\na lion\na panda\na penguin\n"
STOPPED_AT = 4
"""Photos after which the analysis by another model is stopped."""


def told_of_photos(cared: Cared) -> list[str]:
    return [one.found for one in cared.examine().findings if one.check == "photos"]


def test_photos_that_wait_for_another_model_are_those_that_status_counts(
    cared: Cared, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text(WORDS, encoding="utf-8")
    stop = threading.Event()

    def stopping(what: str, done: int, total: int | None) -> None:
        if what == "analysing" and done >= STOPPED_AT:
            stop.set()

    with Library.open(replace(cared.settings, model="big-animals", batch_size=2)) as library:
        library.models.add(words, "big-animals", no_progress)
        library.index([cared.photos], stopping, stop)
        status = library.status()
    assert [model.active for model in status.models] == [True, False]
    assert 0 < status.awaiting < status.photos
    (told,) = notes(cared.examine(), "photos")
    assert told.found == f"{status.awaiting} photos not analysed yet"
    cared.index()
    with Library.open(cared.settings) as library:
        assert library.status().awaiting == 0
    (told_at_last,) = told_of_photos(cared)
    assert told_at_last.endswith("all analysed")


@pytest.fixture
def space(tmp_path: Path) -> Callable[[float, float, int], Finding]:
    """What is said of a library of a size, with an index of a size: shares of the free space.

    The files have holes, so they take no room themselves.
    """
    folder = tmp_path / "library"
    folder.mkdir()
    free = shutil.disk_usage(folder).free

    def told(database: float, index: float, photos: int) -> Finding:
        for name, share in (("catalog.db", database), ("vectors-of-one.faiss", index)):
            with (folder / name).open("wb") as file:
                file.truncate(int(share * free))
        look = Look(Settings(library=folder), False, no_progress)
        (finding,) = check_space(look, photos)
        return finding

    return told


def test_there_has_to_be_room_for_a_thousand_photos_as_large_as_those_that_are_here(
    space: Callable[[float, float, int], Finding],
) -> None:
    assert space(0.01, 0, 100).verdict is Verdict.OK  # a tenth of what is free
    wrong = space(0.01, 0, 5)  # twice as much
    assert wrong.verdict is Verdict.PROBLEM
    assert "1,000 photos" in wrong.found
    assert "free some space" in wrong.advice


def test_there_has_to_be_room_for_the_index_once_more(
    space: Callable[[float, float, int], Finding],
) -> None:
    assert space(0, 0.6, 0).verdict is Verdict.OK
    assert space(0.006, 0, 10).verdict is Verdict.OK
    assert space(0.006, 0.6, 10).verdict is Verdict.PROBLEM


def test_too_little_room_is_a_problem_of_the_library(cared: Cared) -> None:
    assert "free space" not in problems(cared.examine(quick=True))
    with (cared.folder / "vectors-of-one.faiss").open("wb") as file:
        file.truncate(int(1.5 * shutil.disk_usage(cared.folder).free))
    assert "free space" in problems(cared.examine(quick=True))
