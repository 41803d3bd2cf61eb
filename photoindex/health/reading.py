"""What every check is told, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.read_only import ReadOnly
from photoindex.config import Settings
from photoindex.tagger import Progress

DATABASE, WATCH_LOCK = "catalog.db", "watch.lock"


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be looked at, and how closely."""

    settings: Settings
    quick: bool
    progress: Progress

    @property
    def folder(self) -> Path:
        """The library's folder."""
        return self.settings.library

    @property
    def path(self) -> Path:
        """The library's database."""
        return self.settings.library / DATABASE


@dataclass(frozen=True, slots=True)
class Opened:
    """A library that this version can read."""

    look: Look
    database: ReadOnly
    catalog: Catalog
