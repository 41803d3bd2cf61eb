"""A model of four tags, and analyses by it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from photoindex.catalog.records import NewAnalysis
from photoindex.photo import FileStamp, FoundFile, Metadata, PhotoFacts
from photoindex.tagger import (
    Analysis,
    Concept,
    ImageTokens,
    LabelEmbeddings,
    StoredPhoto,
    Tag,
    TagName,
)

MODEL = "small-1"
WIDTH = 8
VOCABULARY = (
    TagName("cat", "猫", 0.6),
    TagName("dog", "狗", 0.6),
    TagName("roof", "屋顶", 0.7),
    TagName("rooftop", "屋顶", 0.7),
)


def found(path: str | Path, inode: int = 1, mtime_ns: int = 0) -> FoundFile:
    return FoundFile(Path(path), FileStamp(100, mtime_ns, inode, 7))


def analysed(
    content: str,
    *paths: str,
    tags: dict[str, float] | None = None,
    concepts: dict[int, float] | None = None,
    taken_at: datetime | None = None,
    mtime_ns: int = 0,
    seed: int = 0,
) -> NewAnalysis:
    """A photo with some content, whose embedding and tokens follow from the content and seed."""
    names = {entry.name: entry for entry in VOCABULARY}
    random = np.random.default_rng([seed, *content.encode()])
    embedding = random.standard_normal(WIDTH).astype(np.float32)
    tokens = random.standard_normal((3, WIDTH)).astype(np.float32)
    return NewAnalysis(
        PhotoFacts(content, 100, 40, 30, "JPEG", Metadata(taken_at, "Camera", 1.5, -2.5)),
        tuple(found(path, mtime_ns=mtime_ns) for path in paths),
        Analysis(
            tuple(
                Tag(name, names[name].name_zh, probability, names[name].threshold)
                for name, probability in (tags or {}).items()
            ),
            StoredPhoto(embedding / np.linalg.norm(embedding), ImageTokens.quantise(tokens)),
        ),
        concepts or {},
    )


def embedded(concept: Concept, seed: int = 0) -> LabelEmbeddings:
    """One row for each description of a concept."""
    count = max(1, len(concept.descriptions))
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return LabelEmbeddings((concept.name,), rows, np.array([count], dtype=np.int64))
