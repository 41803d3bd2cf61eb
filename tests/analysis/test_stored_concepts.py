"""What a library's concepts cost whoever analyses photos: they are held once, and never stale."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from photoindex import Library
from photoindex.analysis.concepts import StoredConcepts
from photoindex.catalog.records import NewConcept
from photoindex.tagger import (
    Analysis,
    Concept,
    Floats,
    LabelEmbeddings,
    StoredPhoto,
    StoredPhotos,
)

WIDTH, DESCRIPTIONS = 256, 1000
SIZE = WIDTH * DESCRIPTIONS * 4  # bytes of one concept
PHOTO = Analysis((), StoredPhoto(np.ones(WIDTH, dtype=np.float32), None))


class Plain:
    """A tagger to which every label is as probable as its first number."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        first = labels.embeddings[np.cumsum(labels.counts) - labels.counts, 0]
        return np.concatenate([np.tile(first, (len(block), 1)) for block in photos])


def add(library: Library, name: str, probability: float) -> int:
    """A concept of very many descriptions. Returns its number."""
    rows = np.full((DESCRIPTIONS, WIDTH), probability, dtype=np.float32)
    labels = LabelEmbeddings((name,), rows, np.array([DESCRIPTIONS], dtype=np.int64))
    none = np.empty(0, dtype=np.int64)
    model = model_of(library)
    figures = none.astype(np.float32)
    library._catalog.concepts.add([NewConcept(Concept(name), labels, model, none, figures)])
    return library.concept(name).id


def model_of(library: Library) -> str:
    return library._catalog.models.all()[0].model_id


def growth(action: Callable[[], object]) -> int:
    """Bytes that something takes more than before, at most."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_concepts_are_read_once_and_take_their_size_once(library: Library, folder: Path) -> None:
    library.index([folder])
    numbers = [add(library, f"thing {n}", n / 16) for n in range(8)]
    stored = StoredConcepts(library._catalog, Plain(model_of(library)))  # type: ignore[arg-type]
    most = growth(lambda: stored.score_new([PHOTO]))
    assert 8 * SIZE <= most < 11 * SIZE  # beside what is held, a concept or two on their way
    most = growth(lambda: stored.score_new([PHOTO, PHOTO]))
    assert most < SIZE / 2
    assert stored.score_new([PHOTO]) == [{number: n / 16 for n, number in enumerate(numbers)}]


def test_concepts_are_read_again_where_others_came_or_went(library: Library, folder: Path) -> None:
    library.index([folder])
    stored = StoredConcepts(library._catalog, Plain(model_of(library)))  # type: ignore[arg-type]
    assert stored.score_new([PHOTO]) == [{}]
    one = add(library, "one", 0.25)
    assert stored.score_new([PHOTO]) == [{one: 0.25}]
    two = add(library, "two", 0.5)
    assert stored.score_new([PHOTO]) == [{one: 0.25, two: 0.5}]
    library.remove_concept("one")
    assert stored.score_new([PHOTO]) == [{two: 0.5}]
    library.remove_concept("two")
    assert stored.score_new([PHOTO]) == [{}]


def test_a_concept_that_comes_while_photos_are_analysed_is_scored_on_all_of_them(
    open_library: Callable[..., Library], folder: Path, tmp_path: Path
) -> None:
    """Whether it was added before a batch, or by another process while the batch was looked at."""
    file = tmp_path / "concepts.json"
    added = threading.Event()

    def progress(what: str, done: int, total: int | None) -> None:
        if what == "analysing" and done >= 3 and not added.is_set():
            added.set()
            file.write_text(json.dumps({"striped horse": ["a zebra"]}))
            with open_library() as other:
                other.add_concepts(file)

    with open_library(batch_size=1) as library:
        library.index([folder], progress)
        assert added.is_set()
        (record,) = library.concepts()
        assert record.scored == library.status().photos == 8
