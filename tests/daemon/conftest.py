"""`photoindex watch` as a real process on a real folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import Daemon, Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Daemon]]:
    """One watcher for all tests that only add to its folder, each in a corner of its own."""
    place = make_place(tmp_path_factory.mktemp("watched"))
    with place.watching("--exclude", "private") as daemon:
        yield place, daemon
        assert daemon.stop() == 0
