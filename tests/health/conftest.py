"""A sound library for each test, with a concept, a tag of the user's own and a vector index."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cared import BUNDLED, Cared

from photoindex.health import examination, machine
from photoindex.health.records import ok
from photoindex.library import Library


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine's own settings, models and libraries play no part; nor does its GPU, for which
    torch would be imported by every test.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PHOTOINDEX_")]:
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setattr(examination.machine, "check_gpu", lambda look: ok(machine.GPU, "none asked"))
        yield


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Cared:
    """The session's library, which no test changes."""
    place = tmp_path_factory.mktemp("indexed")
    cared = Cared(place / "library", place / "photos")
    for name in ("zoo", "winter", "home"):
        shutil.copytree(BUNDLED / "pictures" / name, cared.photos / name)
    concepts = place / "concepts.json"
    concepts.write_text(json.dumps({"sleepy pet": ["a cat on a sofa", "a dog that sleeps"]}))
    with Library.open(replace(cared.settings, model="sketch")) as library:
        library.index([cared.photos])
        library.add_concepts(concepts)
        library.set_concept_threshold("sleepy pet", 0.05)
        library.tag([next(cared.photos.rglob("*.jpg"))], "mine")
        library.search("a cat that is asleep")
    return cared


@pytest.fixture
def cared(indexed: Cared, tmp_path: Path) -> Cared:
    """A library of the test's own; the photos are the session's."""
    return Cared(Path(shutil.copytree(indexed.folder, tmp_path / "library")), indexed.photos)
