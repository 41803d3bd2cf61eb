"""A real catalog in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_model import MODEL, VOCABULARY, WIDTH

from photoindex.catalog.catalog import Catalog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library" / "library.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog.open(path) as opened:
        opened.models.register(MODEL, "small", WIDTH, VOCABULARY)
        opened.models.activate(MODEL)
        yield opened
