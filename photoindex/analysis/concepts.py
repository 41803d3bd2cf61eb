"""Concepts over stored photos: label embeddings are built, tokens streamed, no photo is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.concepts import MOST_DESCRIPTIONS
from photoindex.catalog.records import ConceptEmbeddings, NewConcept
from photoindex.errors import ConceptError
from photoindex.tagger import (
    Analysis,
    Concept,
    Floats,
    Ids,
    LabelEmbeddings,
    Progress,
    StoredPhotos,
    Tagger,
)

T = TypeVar("T")

SCORING = "scoring"
MOST_CONCEPTS = 10_000
"""At once. What their descriptions take is bounded apart: see MOST_DESCRIPTIONS of the catalog."""
MOST_FIGURES = 200_000_000
"""Of every photo for every concept that are added at once.

They take 0.8 GB, what is kept of them up to 1.2 GB more, and nobody else can write to the library
for the seconds that it takes to write that.
"""
_LATE_PASSES = 3


class StoredConcepts:
    """A library's concepts, held while photo after photo is scored for them.

    They are read again only where others were added or removed meanwhile.
    """

    def __init__(self, catalog: Catalog, tagger: Tagger) -> None:
        self._catalog = catalog
        self._tagger = tagger
        self._held: ConceptEmbeddings | None = None

    def score_new(self, analyses: Sequence[Analysis]) -> list[dict[int, float]]:
        """Each new analysis' probability for every stored concept, by concept id.

        From the tokens as they are stored, so that it makes no difference which came first, the
        photo or the concept.
        """
        held = self._up_to_date()
        if held is None:
            return [{} for _ in analyses]
        stored = StoredPhotos.of([analysis.stored for analysis in analyses])
        rows = self._tagger.score(held.labels, [stored])
        return [dict(zip(held.ids.tolist(), map(float, row), strict=True)) for row in rows]

    def _up_to_date(self) -> ConceptEmbeddings | None:
        concepts, model_id = self._catalog.concepts, self._tagger.model_id
        if self._held is None or not np.array_equal(self._held.ids, concepts.embedded(model_id)):
            self._held = None  # before the others come: so there is one of them in memory
            self._held = concepts.embeddings(model_id)
        return self._held


def score_concepts(
    concepts: Sequence[Concept], catalog: Catalog, tagger: Tagger, progress: Progress
) -> list[NewConcept]:
    """Every stored photo's probability for each concept, ready to be added.

    All concepts are scored in one pass over the stored tokens, block by block. Raises ConceptError
    where that would take too much memory, or the library has no room for so many descriptions.
    """
    most = _most_at_once(catalog, tagger)
    if len(concepts) > most:
        raise ConceptError(
            f"{len(concepts):,} concepts are too many at once for this library: split the file into"
            f" files of at most {most:,}"
        )
    catalog.concepts.see_room(tagger.model_id, _counts(concepts, tagger))
    return _scored(concepts, catalog, tagger, progress)


def fill_gaps(catalog: Catalog, tagger: Tagger, progress: Progress) -> None:
    """Score what stored concepts have not met yet.

    Those are photos recorded while a concept was being added, and every photo and concept after a
    change of model.
    """
    waiting = catalog.concepts.without_embeddings(tagger.model_id)
    for some in _portions(waiting, catalog, tagger):
        catalog.concepts.follow(_scored(some, catalog, tagger, progress))
    unscored = catalog.concepts.unscored(tagger.model_id)
    if not unscored:
        return
    stored = catalog.concepts.embeddings(tagger.model_id)
    if stored is None:
        return
    parts = dict(zip(stored.ids.tolist(), split(stored.labels), strict=True))
    for concept_id, photo_ids in unscored.items():
        if concept_id not in parts:  # removed since
            continue
        ids, probabilities = _pass_over(parts[concept_id], catalog, tagger, progress, photo_ids)
        catalog.concepts.score(concept_id, tagger.model_id, ids, probabilities[:, 0])


def _most_at_once(catalog: Catalog, tagger: Tagger) -> int:
    photos = catalog.analyses.state(tagger.model_id).count
    return max(1, min(MOST_CONCEPTS, MOST_FIGURES // max(1, photos)))


def _portions(
    concepts: Sequence[Concept], catalog: Catalog, tagger: Tagger
) -> Iterator[list[Concept]]:
    """As many concepts each as are scored at once, with as many descriptions as a library has."""
    if not concepts:
        return
    counts = _counts(concepts, tagger)
    most = _most_at_once(catalog, tagger)
    some: list[Concept] = []
    count = 0
    for concept in concepts:
        if some and (len(some) >= most or count + counts[concept.name] > MOST_DESCRIPTIONS):
            yield some
            some, count = [], 0
        some.append(concept)
        count += counts[concept.name]
    yield some


def _counts(concepts: Sequence[Concept], tagger: Tagger) -> dict[str, int]:
    """How many descriptions each concept has, or templates where it has none."""
    bare = next((concept for concept in concepts if not concept.descriptions), None)
    templates = 0 if bare is None else int(tagger.embed_labels([bare]).counts[0])
    return {concept.name: len(concept.descriptions) or templates for concept in concepts}


def _scored(
    concepts: Sequence[Concept], catalog: Catalog, tagger: Tagger, progress: Progress
) -> list[NewConcept]:
    labels = tagger.embed_labels(concepts)
    ids, probabilities = _pass_over(labels, catalog, tagger, progress)
    for _ in range(_LATE_PASSES):  # photos that came meanwhile, each time fewer
        late = np.setdiff1d(catalog.analyses.photo_ids(tagger.model_id), ids)
        if not len(late):
            break
        more, figures = _pass_over(labels, catalog, tagger, progress, late)
        ids, probabilities = np.append(ids, more), np.concatenate([probabilities, figures])
    return [
        NewConcept(concept, part, tagger.model_id, ids, probabilities[:, column])
        for column, (concept, part) in enumerate(zip(concepts, split(labels), strict=True))
    ]


def split(labels: LabelEmbeddings) -> Iterator[LabelEmbeddings]:
    """The labels one by one."""
    end = np.cumsum(labels.counts)
    for row, name in enumerate(labels.names):
        count = labels.counts[row : row + 1]
        yield LabelEmbeddings((name,), labels.embeddings[end[row] - count[0] : end[row]], count)


def _pass_over(
    labels: LabelEmbeddings,
    catalog: Catalog,
    tagger: Tagger,
    progress: Progress,
    photo_ids: Ids | None = None,
) -> tuple[Ids, Floats]:
    total = catalog.analyses.state(tagger.model_id).count if photo_ids is None else len(photo_ids)
    ids: list[Ids] = [np.empty(0, dtype=np.int64)]

    def passing() -> Iterator[StoredPhotos]:
        done = 0
        for block, photos in _one_ahead(catalog.analyses.stored(tagger.model_id, photo_ids)):
            ids.append(block)
            yield photos
            done += len(photos)
            progress(SCORING, done, total)

    progress(SCORING, 0, total)
    scores = tagger.score(labels, passing())
    return np.concatenate(ids), scores


def _one_ahead(blocks: Iterator[T]) -> Iterator[T]:
    """Blocks read by a thread of its own while the one before is scored."""
    with ThreadPoolExecutor(1, thread_name_prefix="blocks") as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block
