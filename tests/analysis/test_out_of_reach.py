"""Files that the machine keeps from being read: they are named, tried again, and lose nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from photoindex import Library
from photoindex.analysis.tally import Tally

KILLED = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


@contextmanager
def no_memory() -> Iterator[None]:
    """A system that kills every process that opens pictures, as for want of memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("photoindex.photos.decoder._PROGRAM", KILLED)
        yield


def test_new_files_are_named_with_the_reason_and_tried_again(
    library: Library, folder: Path
) -> None:
    with no_memory():
        assert library.index([folder]) == Tally(unsettled=8)
        assert library.index([folder]) == Tally(unsettled=8)
        failures = library.failures()
        assert {failure.path for failure in failures} == set(folder.iterdir())
        assert all("cannot be started" in (failure.failure or "") for failure in failures)
    assert library.index([folder]) == Tally(analysed=8)
    assert library.failures() == ()


def test_a_known_photo_stays_what_it_is(library: Library, folder: Path) -> None:
    library.index([folder])
    before = library.photo(folder / "lions.jpg"), library.tags_of(folder / "lions.jpg")
    with (folder / "lions.jpg").open("ab") as file:
        file.write(b"more")
    with no_memory():
        assert library.index([folder]) == Tally(unsettled=1)
        assert (
            library.photo(folder / "lions.jpg"),
            library.tags_of(folder / "lions.jpg"),
        ) == before
        assert library.failures() == ()
    assert library.index([folder]) == Tally(analysed=1)


def test_a_watcher_tries_again_by_itself(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoindex.analysis.indexing.TRY_AGAIN", 0.3)
    stop = threading.Event()
    with no_memory():
        changes = library.watch([folder], stop)
        assert next(changes) == Tally(unsettled=8)
        assert next(changes) == Tally(unsettled=8)
    assert next(changes) == Tally(analysed=8)
    stop.set()
    assert list(changes) == []
