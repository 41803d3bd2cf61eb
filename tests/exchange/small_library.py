"""A library of a model of four tags, its photos in a folder, and the command line on it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import NewAnalysis
from photoindex.cli.app import main
from photoindex.photo import FileStamp, FoundFile, Metadata, PhotoFacts
from photoindex.tagger import Analysis, ImageTokens, StoredPhoto, Tag, TagName

MODEL, WIDTH = "small-1", 8
VOCABULARY = (
    TagName("cat", "猫", 0.6),
    TagName("dog", "狗", 0.6),
    TagName("roof", "屋顶", 0.7),
    TagName("plain", None, 0.7),
)
TAKEN = datetime(2024, 5, 6, 7, 8, 9)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of photos and the library that knows them."""

    folder: Path
    library: Path

    @property
    def database(self) -> Path:
        return self.library / "catalog.db"

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The library's catalog, with the small model in use."""
        with Catalog.open(self.database) as catalog:
            catalog.models.register(MODEL, "small", WIDTH, VOCABULARY)
            catalog.models.activate(MODEL)
            catalog.folders.remember(self.folder)
            yield catalog

    def put(
        self,
        name: str,
        tags: Mapping[str, float] | None = None,
        content: str | None = None,
        by_user: tuple[str, ...] = (),
    ) -> Path:
        """A photo file that the library has analysed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(content or name))
        with self.catalog() as catalog:
            (photo,) = catalog.analyses.record([analysed(path, tags or {}, content)], MODEL)
            for tag in by_user:
                catalog.tags.tag([photo], tag)
        return path

    def tags(self, photo: Path) -> dict[str, str]:
        """What a photo shows: tag → who says so."""
        with Catalog.open(self.database) as catalog:
            found = catalog.photos.at(photo)
            assert found is not None
            return {tag.name: tag.source.value for tag in catalog.tags.of([found.id])[found.id]}

    def run(self, *words: str | os.PathLike[str], code: int = 0) -> Outcome:
        """The command, in this process."""
        arguments = ["photoindex", "--library", str(self.library), *map(os.fspath, words)]
        out, err = io.BytesIO(), io.StringIO()
        text = io.TextIOWrapper(out, encoding="utf-8", write_through=True, newline="")
        ended = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as end:
                    ended = int(end.code or 0)
        outcome = Outcome(ended, out.getvalue().decode("utf-8"), err.getvalue())
        assert outcome.code == code, outcome
        return outcome


def analysed(path: Path, tags: Mapping[str, float], content: str | None = None) -> NewAnalysis:
    """A photo whose embedding and tokens follow from its content."""
    of = content or path.name
    names = {entry.name: entry for entry in VOCABULARY}
    random = np.random.default_rng(list(os.fsencode(of)))
    embedding = random.standard_normal(WIDTH).astype(np.float32)
    tokens = random.standard_normal((3, WIDTH)).astype(np.float32)
    camera = Metadata(TAKEN, "=Camera()", 1.5, -2.5)
    return NewAnalysis(
        PhotoFacts(os.fsencode(of).hex(), 100, 40, 30, "JPEG", camera),
        (FoundFile(path, FileStamp(100, 0, 1, 7)),),
        Analysis(
            tuple(
                Tag(name, names[name].name_zh, probability, names[name].threshold)
                for name, probability in tags.items()
            ),
            StoredPhoto(embedding / np.linalg.norm(embedding), ImageTokens.quantise(tokens)),
        ),
    )
