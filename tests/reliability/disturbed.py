"""Real commands on a real folder that are disturbed on purpose, and what a library holds then."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
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

    def concepts(self) -> Path:
        file = self.top / "concepts.json"
        file.write_text(json.dumps(CONCEPTS), encoding="utf-8")
        return file

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command on the library, with the bundled model, its remarks thrown away."""
        return subprocess.Popen(
            [str(PROGRAM), *words],
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

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

    def kill(self, words: tuple[str, ...], after: float) -> bool:
        """SIGKILL a command after some seconds. Whether it was still at work then."""
        process = self.start(*words)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)
            return True
        return False


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """What a library says of one file's photo; the digest is of its tokens as they are stored."""

    hash: str
    tags: tuple[tuple[str, str, float], ...]  # name, source, probability
    embedding: bytes
    tokens: str


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


def _photo(catalog: Catalog, model_id: str, photo_id: int) -> SeenPhoto:
    (record,) = catalog.photos.many([photo_id])
    tags = catalog.tags.of([photo_id], everything=True)[photo_id]
    ((_, stored),) = list(catalog.analyses.stored(model_id, [photo_id]))
    assert stored.tokens is not None and len(stored) == 1
    digest = hashlib.blake2b(stored.tokens.values.tobytes() + stored.tokens.scales.tobytes())
    return SeenPhoto(
        record.facts.hash,
        tuple(sorted((tag.name, tag.source.value, tag.probability) for tag in tags)),
        stored.embeddings.tobytes(),
        digest.hexdigest(),
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
    with sqlite3.connect(library / "catalog.db") as database:
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


def moments(chance: random.Random, count: int, longest: float) -> list[float]:
    """Seconds after which to kill: most while photos are being analysed, some while starting."""
    return [chance.uniform(0.2, longest) for _ in range(count)]
