"""Concepts over stored photos: label embeddings are built, tokens streamed, no photo is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import NewConcept
from photoindex.errors import ConceptError
from photoindex.tagger import Concept, Floats, Ids, LabelEmbeddings, Progress, StoredPhotos, Tagger

T = TypeVar("T")

SCORING = "scoring"
MOST_CONCEPTS = 10_000
"""At once: their embeddings, templates' included, take 1 GB or so."""
MOST_FIGURES = 1_000_000_000
"""Probabilities that are held at once, of every photo for every concept: 4 GB."""


def score_concepts(
    concepts: Sequence[Concept], catalog: Catalog, tagger: Tagger, progress: Progress
) -> list[NewConcept]:
    """Every stored photo's probability for each concept, ready to be added.

    All concepts are scored in one pass over the stored tokens, block by block. Raises ConceptError
    where that would take too much memory.
    """
    most = _most_at_once(catalog, tagger)
    if len(concepts) > most:
        raise ConceptError(
            f"{len(concepts):,} concepts are too many at once for this library: split the file into"
            f" files of at most {most:,}"
        )
    labels = tagger.embed_labels(concepts)
    ids, probabilities = _pass_over(labels, catalog, tagger, progress)
    return [
        NewConcept(concept, part, tagger.model_id, ids, probabilities[:, column])
        for column, (concept, part) in enumerate(zip(concepts, split(labels), strict=True))
    ]


def fill_gaps(catalog: Catalog, tagger: Tagger, progress: Progress) -> None:
    """Score what stored concepts have not met yet.

    Those are photos recorded while a concept was being added, and every photo and concept after a
    change of model.
    """
    waiting = catalog.concepts.without_embeddings(tagger.model_id)
    most = _most_at_once(catalog, tagger)
    for start in range(0, len(waiting), most):
        some = waiting[start : start + most]
        catalog.concepts.follow(score_concepts(some, catalog, tagger, progress))
    unscored = catalog.concepts.unscored(tagger.model_id)
    stored = catalog.concepts.embeddings(tagger.model_id)
    if stored is None or not unscored:
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
