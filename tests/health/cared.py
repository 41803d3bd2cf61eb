"""A library of bundled pictures, ways to look at it, and ways to damage it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import photoindex.demo
from photoindex.config import Settings
from photoindex.health.examination import examine
from photoindex.health.records import Finding, Report, Verdict
from photoindex.health.repair import repair
from photoindex.library import Library
from photoindex.search.options import SearchOptions

BUNDLED = Path(photoindex.demo.__file__).parent
DERIVED = ("tag_postings", "analysed_chunks", "photo_chunks", "analysis_tags", "touched_photos")


@dataclass(frozen=True, slots=True)
class Cared:
    """A library and its photos."""

    folder: Path
    photos: Path

    @property
    def settings(self) -> Settings:
        return Settings(library=self.folder, models=self.folder.parent / "models")

    @property
    def database(self) -> Path:
        return self.folder / "catalog.db"

    def examine(self, quick: bool = False) -> Report:
        return examine(self.settings, quick)

    def repair(self) -> Report:
        return repair(self.settings)

    def index(self) -> None:
        with Library.open(self.settings) as library:
            library.index([self.photos])

    def found(self, query: str) -> list[tuple[str, float]]:
        with Library.open(self.settings) as library:
            hits = library.search(query, SearchOptions(limit=100)).hits
        return sorted((str(hit.photo.files[0]), round(hit.score, 4)) for hit in hits)

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """The database without any care for what belongs together."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            yield connection

    def rows(self, table: str) -> list[tuple[object, ...]]:
        with self.sql() as connection:
            return sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)

    def state(self) -> dict[str, object]:
        """Every file with its bytes and times."""
        return {
            str(path.relative_to(self.folder)): (
                path.lstat().st_mtime_ns,
                path.lstat().st_mode,
                path.read_bytes() if path.is_file() else None,
            )
            for path in [self.folder, *sorted(self.folder.rglob("*"))]
        }


def problems(report: Report) -> dict[str, Finding]:
    """Check → its first problem."""
    wrong = [one for one in report.findings if one.verdict is Verdict.PROBLEM]
    return {one.check: one for one in reversed(wrong)}


def notes(report: Report, check: str) -> list[Finding]:
    return [one for one in report.findings if one.check == check and one.verdict is Verdict.NOTE]
