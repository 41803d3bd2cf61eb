"""Real commands on a real folder that are disturbed on purpose, and what a library holds then."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from photoindex.catalog.catalog import Catalog
from photoindex.photo import FileState
from photoindex.vectors.cache import VectorCache

PROGRAM = Path(sys.executable).with_name("photoindex")
PICTURES, BROKEN = 300, 3
CONCEPTS = {
    "red thing": ["a red thing", "something painted red"],
    "meadow": {"descriptions": ["green grass", "a green field"], "threshold": 0.3, "zh": "草地"},
}


def draw(folder: Path, count: int = PICTURES) -> Path:
    """Small pictures, no two alike, in sub-folders of fifty, and a few files that are damaged."""
    chance = np.random.default_rng(5)
    for number in range(count):
        colours = chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize((160, 120), number % 2)
        into = folder / f"{number // 50:02d}"
        into.mkdir(parents=True, exist_ok=True)
        picture.save(into / f"{number:04d}.jpg", quality=90)
    for number in range(BROKEN):
        whole = (folder / "00" / f"{number:04d}.jpg").read_bytes()
        (folder / "00" / f"broken-{number}.jpg").write_bytes(whole[: len(whole) // 3])
    return folder


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of pictures and a library somewhere below `top`."""

    top: Path
    pictures: Path

    @property
    def library(self) -> Path:
        return self.top / "library"

    @property
    def said(self) -> Path:
        return self.top / "said.txt"

    def concepts(self) -> Path:
        file = self.top / "concepts.json"
        file.write_text(json.dumps(CONCEPTS), encoding="utf-8")
        return file

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command on the library, with the bundled model; its remarks are added to `said`."""
        with self.said.open("ab") as remarks:
            return subprocess.Popen(
                [str(PROGRAM), *words],
                env=self.environment(),
                stdout=subprocess.DEVNULL,
                stderr=remarks,
            )

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on for as long as it is needed, and no longer."""
        process = self.start(*words)
        try:
            yield process
        finally:
            process.kill()
            process.wait(30)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that has to succeed."""
        done = subprocess.run(
            [str(PROGRAM), *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PHOTOINDEX_LIBRARY": str(self.library),
            "PHOTOINDEX_MODEL": "sketch",
            "PHOTOINDEX_SETTLE": "0.1",
        }

    def kill(
        self,
        words: tuple[str, ...],
        after: float,
        once: Callable[[], bool] = lambda: True,
        patience: float = 10.0,
    ) -> bool:
        """SIGKILL a command, some seconds after something holds. Whether it was still at work.

        What does not hold within so many seconds of patience is waited for no longer.
        """
        process = self.start(*words)
        end = time.monotonic() + patience
        while process.poll() is None and not once() and time.monotonic() < end:
            time.sleep(0.005)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)
            return True
        return False


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """What a library says of one file's photo; tokens: int8 values and their scales."""

    hash: str
    tags: tuple[tuple[str, str, float], ...]  # name, source, probability
    embedding: bytes
    tokens: bytes
    scales: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a library holds, by path below the folder of pictures, without numbers and times."""

    photos: dict[str, SeenPhoto]
    failures: dict[str, str]
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """Pictures, and a library of them that nothing ever happened to."""

    pictures: Path
    seen: Seen


def look(library: Path) -> Seen:
    """What is in a library, read through the catalog's doors; and that it is sound throughout."""
    check(library)
    photos: dict[str, SeenPhoto] = {}
    failures: dict[str, str] = {}
    with Catalog.open(library / "catalog.db") as catalog:
        active = catalog.models.active()
        assert active is not None
        for folder in catalog.folders.all():
            for file in catalog.files.under(folder.path):
                if file.state is not FileState.PRESENT:
                    continue
                name = file.path.relative_to(folder.path).as_posix()
                assert name not in photos
                if file.failure is not None:
                    failures[name] = file.failure
                    continue
                assert file.photo_id is not None
                photos[name] = _photo(catalog, active.model_id, file.photo_id)
        concepts = tuple(sorted(one.concept.name for one in catalog.concepts.all()))
    return Seen(photos, failures, concepts)


def assert_alike(one: Seen, other: Seen) -> None:
    """The same, but for the last digits: they depend on which photos are looked at together.

    By them one int8 value in a million or so is rounded the other way, which moves what concepts
    say of that photo in the fifth digit.
    """
    assert one.failures == other.failures and one.concepts == other.concepts
    assert one.photos.keys() == other.photos.keys()
    for name, photo in one.photos.items():
        twin = other.photos[name]
        assert photo.hash == twin.hash, name
        assert [tag[:2] for tag in photo.tags] == [tag[:2] for tag in twin.tags], name
        for mine, its, kind, far in (
            (_said_by(photo, "model"), _said_by(twin, "model"), np.float64, 1e-5),
            (_said_by(photo, "concept"), _said_by(twin, "concept"), np.float64, 1e-3),
            (photo.embedding, twin.embedding, np.float32, 1e-5),
            (photo.scales, twin.scales, np.float32, 1e-3),
            (photo.tokens, twin.tokens, np.int8, 1),
        ):
            apart = np.frombuffer(mine, kind).astype(float) - np.frombuffer(its, kind)
            assert np.abs(apart).max(initial=0) <= far, name


def _said_by(photo: SeenPhoto, source: str) -> bytes:
    """The probabilities of its tags from one source."""
    return np.array([tag[2] for tag in photo.tags if tag[1] == source]).tobytes()


def _photo(catalog: Catalog, model_id: str, photo_id: int) -> SeenPhoto:
    (record,) = catalog.photos.many([photo_id])
    tags = catalog.tags.of([photo_id], everything=True)[photo_id]
    ((_, stored),) = list(catalog.analyses.stored(model_id, [photo_id]))
    assert stored.tokens is not None and len(stored) == 1
    return SeenPhoto(
        record.facts.hash,
        tuple(sorted((tag.name, tag.source.value, tag.probability) for tag in tags)),
        stored.embeddings.astype(np.float32).tobytes(),
        stored.tokens.values.tobytes(),
        stored.tokens.scales.astype(np.float32).tobytes(),
    )


def listed(library: Path) -> dict[str, tuple[int, int]]:
    """Path → (size, mtime_ns) of the files that a library takes for present."""
    with Catalog.open(library / "catalog.db") as catalog:
        return {
            str(file.path): (file.stamp.size, file.stamp.mtime_ns)
            for folder in catalog.folders.all()
            for file in catalog.files.under(folder.path)
            if file.state is FileState.PRESENT
        }


def check(library: Path) -> None:
    """The database is whole, nothing in it is orphaned, and the vector index agrees with it."""
    Catalog.open(library / "catalog.db").close()  # finishes one that was only being made
    with contextlib.closing(sqlite3.connect(library / "catalog.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        for orphans in (
            "SELECT count(*) FROM image_tokens WHERE analysis_id NOT IN (SELECT id FROM analyses)",
            "SELECT count(*) FROM analyses WHERE id NOT IN (SELECT analysis_id FROM image_tokens)",
            "SELECT count(*) FROM analyses WHERE photo_id NOT IN (SELECT id FROM photos)",
            "SELECT count(*) FROM photos WHERE id NOT IN (SELECT photo_id FROM analyses)",
            "SELECT count(*) FROM photo_tags WHERE source = 'concept'"
            " AND tag_id NOT IN (SELECT tag_id FROM concepts)",
        ):
            assert database.execute(orphans).fetchone() == (0,), orphans
    with Catalog.open(library / "catalog.db") as catalog:
        active = catalog.models.active()
        if active is None:
            return
        index = VectorCache(library, catalog.analyses).open(active.model_id)
        ids = np.sort(index.ids())
        assert np.array_equal(ids, catalog.analyses.photo_ids(active.model_id))
        for block in catalog.analyses.embeddings(active.model_id):
            assert np.allclose(index.embeddings(block.ids), block.embeddings, atol=2e-2)


def being_written(library: Path) -> bool:
    """Whether somebody is in the middle of a transaction that changes the library."""
    catalog = library / "catalog.db"
    with contextlib.closing(sqlite3.connect(catalog, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
        database.execute("ROLLBACK")
        return False


def analysed(library: Path) -> int:
    """How many photos a library has analysed, 0 where it is not there or only being made."""
    if not (library / "catalog.db").exists():
        return 0
    with contextlib.closing(sqlite3.connect(library / "catalog.db")) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'analyses'").fetchone():
            return 0
        (count,) = database.execute("SELECT count(*) FROM analyses").fetchone()
    return int(count)
