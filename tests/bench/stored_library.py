"""Libraries of any size without a picture: what a tagger might have said, recorded by the catalog.

Embeddings are clustered unit vectors in a cone, as those of CLIP's pictures are. Each photo has 20
tags of a vocabulary of 4,585 whose use falls as in language (Zipf); the two commonest are on 40 %
and 30 % of the photos. All of it follows from a seed, photo by photo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import NewAnalysis
from photoindex.photo import FileStamp, FoundFile, Metadata, PhotoFacts
from photoindex.tagger import Analysis, Floats, ImageTokens, StoredPhoto, Tag, TagName

MODEL = "stored-library-1"
WIDTH = 512
SMALL, FULL = (2, 16), (145, 512)
"""Shapes of a photo's tokens: for what tokens do not matter to, and as the large model's are."""

TAGS = 4585
TAGS_A_PHOTO = 20
COMMON = (0.4, 0.3)
"""How many of the photos carry the first and the second tag."""
THRESHOLD = 0.5

_CENTRES = 2000
_BLOCK = 1024  # photos made and recorded at once
_FIRST_DAY = datetime(2005, 1, 1)


def build(folder: Path, photos: int, tokens: tuple[int, int] = SMALL, seed: int = 0) -> Path:
    """The database of a library of some photos, made where it is not there yet, or not whole.

    tokens: (tokens, width) of each photo.
    """
    path = folder / f"library-{photos}-{tokens[0]}x{tokens[1]}-{seed}.db"
    with Catalog.open(path) as catalog:
        grow(catalog, photos, tokens, seed)
    return path


def grow(catalog: Catalog, photos: int, tokens: tuple[int, int] = SMALL, seed: int = 0) -> None:
    """Record photos until there are as many as asked for."""
    prepare(catalog)
    made = catalog.analyses.state(MODEL).count
    for block in analyses(made, photos, tokens, seed):
        catalog.analyses.record(block, MODEL)


def prepare(catalog: Catalog) -> None:
    """Make the model known."""
    catalog.models.register(MODEL, "stored library", WIDTH, vocabulary())
    catalog.models.activate(MODEL)


def vocabulary() -> list[TagName]:
    """The commonest tag first."""
    return [TagName(f"tag {rank:04}", f"标签{rank:04}", THRESHOLD) for rank in range(TAGS)]


def analyses(
    start: int,
    stop: int,
    tokens: tuple[int, int] = SMALL,
    seed: int = 0,
    block: int = _BLOCK,
) -> Iterator[list[NewAnalysis]]:
    """Photos number `start` up to `stop`, in blocks."""
    made = _Maker(tokens, seed)
    for first in range(start, stop, block):
        yield made.photos(first, min(first + block, stop))


class _Maker:
    def __init__(self, tokens: tuple[int, int], seed: int) -> None:
        self._tokens, self._seed = tokens, seed
        random = np.random.default_rng(seed)
        self._centres = _unit(random.standard_normal((_CENTRES, WIDTH), dtype=np.float32))
        self._axis = _unit(random.standard_normal((1, WIDTH), dtype=np.float32))
        self._names = vocabulary()
        weights = 1 / np.arange(22, TAGS + 20)  # the third tag is on a sixth of the photos
        self._rare = np.cumsum(weights / weights.sum())
        size = tokens[0] * tokens[1]
        self._numbers = random.integers(-127, 128, size + (1 << 20), dtype=np.int8)

    def photos(self, first: int, stop: int) -> list[NewAnalysis]:
        random = np.random.default_rng([self._seed, first])
        count = stop - first
        embeddings = self._embeddings(random, count)
        ranks = 2 + np.searchsorted(self._rare, random.random((count, 2 * TAGS_A_PHOTO)))
        common = random.random((count, 2)) < COMMON
        probabilities = random.uniform(THRESHOLD, 1.0, (count, TAGS_A_PHOTO)).astype(np.float32)
        at = random.integers(0, 1 << 20, count).tolist()
        return [
            NewAnalysis(
                _facts(first + row),
                (_file(first + row),),
                Analysis(
                    self._tags(common[row], ranks[row], probabilities[row]),
                    StoredPhoto(embeddings[row], self._stored_tokens(at[row])),
                ),
            )
            for row in range(count)
        ]

    def _embeddings(self, random: np.random.Generator, count: int) -> Floats:
        noise = random.standard_normal((count, WIDTH), dtype=np.float32) / np.sqrt(WIDTH)
        near = self._centres[random.integers(0, _CENTRES, count)] + 0.7 * noise
        return _unit(_unit(near) + self._axis)

    def _tags(
        self, common: np.ndarray, ranks: np.ndarray, probabilities: np.ndarray
    ) -> tuple[Tag, ...]:
        carried = dict.fromkeys([*np.flatnonzero(common).tolist(), *ranks.tolist()])
        return tuple(
            Tag(self._names[rank].name, self._names[rank].name_zh, probability, THRESHOLD)
            for rank, probability in zip(carried, probabilities.tolist(), strict=False)
        )

    def _stored_tokens(self, at: int) -> ImageTokens:
        count, width = self._tokens
        values = self._numbers[at : at + count * width].reshape(count, width)
        return ImageTokens(values, np.full(count, 0.01, dtype=np.float32))


def _facts(number: int) -> PhotoFacts:
    """Nine of ten photos know when they were taken."""
    taken_at = _FIRST_DAY + timedelta(minutes=11 * number) if number % 10 else None
    return PhotoFacts(
        hashlib.blake2b(b"%d" % number, digest_size=32).hexdigest(),
        3_000_000,
        4000,
        3000,
        "JPEG",
        Metadata(taken_at, "Camera", None, None),
    )


def _file(number: int) -> FoundFile:
    """In folders of a thousand."""
    path = Path(f"/photos/{number // 1000:05}/IMG_{number % 1000:04}.jpg")
    written = int((_FIRST_DAY + timedelta(minutes=11 * number)).timestamp()) * 1_000_000_000
    return FoundFile(path, FileStamp(3_000_000, written, number, 1))


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
