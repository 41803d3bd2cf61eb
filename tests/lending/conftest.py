"""A library of the bundled pictures, and one process that lends what it has open of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from neighbours import Place, index


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The session's library, which nothing is done to."""
    return index(tmp_path_factory.mktemp("lending"))


@pytest.fixture(scope="session")
def pictures(indexed: Place) -> Path:
    return indexed.library.with_name("pictures")


@pytest.fixture(scope="session")
def lent(indexed: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A copy of it that is served all the time."""
    library = tmp_path_factory.mktemp("lent") / "library"
    place = replace(indexed, library=Path(shutil.copytree(indexed.library, library)))
    with place.served() as serving:
        yield place
        assert serving.process.poll() is None


@pytest.fixture
def place(indexed: Place, tmp_path: Path) -> Place:
    """A library of the test's own, which nobody lends yet."""
    library = tmp_path / "library"
    return replace(indexed, library=Path(shutil.copytree(indexed.library, library)))
