"""Search from top to bottom: understand, select, find candidates, re-score, rank, explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import ModelRecord, PhotoFilter, PhotoTag, TagRecord
from photoindex.concept_file import DEFAULT_THRESHOLD
from photoindex.errors import LibraryError, PhotoindexError, PictureError, QueryError
from photoindex.search.candidates import SHORTLIST, Candidates, find_candidates, tagged
from photoindex.search.options import SearchOptions
from photoindex.search.query import parse
from photoindex.search.rank import Rank
from photoindex.search.relevance import (
    NoiseFloor,
    logit,
    relevant_by_decoder,
    relevant_by_similarity,
    similarity_score,
)
from photoindex.search.results import Evidence, Hit, SearchResult
from photoindex.search.understanding import Plan, tags_named_in, understand
from photoindex.tagger import Concept, Floats, Ids, LabelEmbeddings, Scorer, StoredPhotos, Tagger
from photoindex.vectors.base import VectorIndex

DECODER_WEIGHT, SIMILARITY_WEIGHT, TAGS_WEIGHT = 0.6, 0.2, 0.2
"""Of the evidence in the fused score; without tags named in the text, the first two share it."""
THE_SAME = 0.98
"""Similarity from which a photo counts as the example itself, in libraries of any size."""
ATTEMPTS = 3
"""How often a search begins, where another model becomes the active one while it runs."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a search looks; what is called for is opened only by the searches that need it.

    active: the model whose analyses are searched, None before the first; vectors: the index of
    its embeddings; scorer: its half that reads texts; tagger: all of it, for example pictures.
    """

    catalog: Catalog
    active: ModelRecord | None
    vectors: Callable[[], VectorIndex]
    scorer: Callable[[], Scorer]
    tagger: Callable[[], Tagger]

    @property
    def model_id(self) -> str | None:
        """The active model's, None before the first."""
        return None if self.active is None else self.active.model_id

    def are_current(self) -> bool:
        """Whether the model is the active one still: tags are shown as the active one has them."""
        now = self.catalog.models.active()
        return self.model_id == (None if now is None else now.model_id)

    @property
    def has_tokens(self) -> bool:
        """Whether the active model has a decoder."""
        return self.active is not None and self.active.token_count is not None


@dataclass(frozen=True, slots=True)
class _Scored:
    """Photos with what orders them; arrays run in parallel. evidence: of a photo by its row."""

    ids: Ids
    scores: Floats
    relevant: np.ndarray
    evidence: Callable[[int], Evidence]


def search(
    query: str,
    options: SearchOptions,
    catalog: Catalog,
    sources: Callable[[ModelRecord | None], Sources],
) -> SearchResult:
    """Find photos by what one model saw: where another becomes active meanwhile, begin anew.

    sources: where to look for what a model saw. Raises QueryError for a query that cannot be
    understood, PictureError, and LibraryError where models change all the while.
    """
    for _ in range(ATTEMPTS):
        chosen = sources(catalog.models.active())
        try:
            result = _search(query, options, chosen)
        except PhotoindexError:
            if chosen.are_current():
                raise
        else:
            if chosen.are_current():
                return result
    raise _changed()


def _changed() -> LibraryError:
    return LibraryError("the library's model has changed while it was searched: search again")


def _search(query: str, options: SearchOptions, sources: Sources) -> SearchResult:
    like = _embedding_like(options.like, sources) if options.like else None
    plan = understand(parse(query), sources.catalog, options.min_probability)
    within = sources.catalog.photos.select(plan.filter) if plan.filter != PhotoFilter() else None
    named = plan.tags
    if like is not None:
        if plan.concept is not None:
            raise QueryError("--like takes filters beside it, not free text: leave the words out")
        scored = _by_likeness(like, sources, within)
    elif plan.concept is not None and sources.model_id is None:
        nothing = np.empty(0, dtype=np.int64)  # no model has looked at a photo yet
        scored = _Scored(
            nothing, nothing.astype(np.float32), nothing.astype(bool), lambda row: Evidence()
        )
    elif plan.concept is not None:
        groups = tags_named_in(plan.concept, sources.catalog)
        named = tuple(dict.fromkeys((*named, *(tag for group in groups for tag in group))))
        scored = _by_concept(options, plan.concept, groups, sources, within)
    else:
        scored = _by_tags(plan, sources.catalog, within, options.limit)
    return _result(options, plan, tuple(tag.name for tag in named), scored, sources.catalog)


def _by_tags(plan: Plan, catalog: Catalog, within: Ids | None, limit: int) -> _Scored:
    """Photos that the filter selected: the most probable first, or the newest without tags."""
    ids = catalog.photos.select(PhotoFilter()) if within is None else within
    everyone = np.ones(len(ids), dtype=bool)
    if not plan.groups:
        newest = np.linspace(1.0, 0.0, len(ids), dtype=np.float32)
        ordered = catalog.photos.newest(ids, limit)
        return _Scored(ordered, newest, everyone, lambda row: Evidence())
    groups = [catalog.photos.probability(ids, group).max(axis=1) for group in plan.groups]
    scores = np.min(groups, axis=0).astype(np.float32)
    return _Scored(ids, scores, everyone, lambda row: Evidence(tag_probability=float(scores[row])))


def _embedding_like(path: Path, sources: Sources) -> Floats:
    """(d,) float32, of an example picture: the stored one if the library has the photo."""
    from photoindex.photos.decoder import open_once  # for examples alone
    from photoindex.photos.walk import stamp_of

    known = sources.catalog.files.at(path)
    if known is not None and known.photo_id is not None and known.stamp == stamp_of(path):
        stored = _stored_embedding(known.photo_id, sources)
        if stored is not None:
            return stored
    found: list[Floats] = []

    def wanted(content: str) -> int | None:
        photo = sources.catalog.photos.by_hash(content)
        stored = None if photo is None else _stored_embedding(photo.id, sources)
        if stored is None:
            return sources.tagger().picture_size
        found.append(stored)
        return None

    try:
        decoded = open_once(path.resolve(), wanted)  # /dev/fd/3 is another file elsewhere
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    if decoded is None:
        return found[-1]
    return cast(Floats, sources.tagger().embed_pictures([decoded.picture])[0])


def _stored_embedding(photo_id: int, sources: Sources) -> Floats | None:
    """(d,) float32, None where the model has not analysed the photo."""
    if sources.model_id is None:
        return None
    _, stored = sources.catalog.analyses.embeddings_of(sources.model_id, [photo_id])
    return cast(Floats, stored[0]) if len(stored) else None


def _by_likeness(like: Floats, sources: Sources, within: Ids | None) -> _Scored:
    """Photos whose embeddings are close to an example's."""
    label = LabelEmbeddings(("",), like[None, :], np.array([1], dtype=np.int64))
    found = _candidates(label, sources, within, ())
    standing, cut = found.floor.standing(found.similarities), found.floor.cut()
    kept = relevant_by_similarity(standing, cut) | (found.similarities >= THE_SAME)
    return _Scored(found.ids, similarity_score(standing, cut), kept, _evidence(found, standing))


def _by_concept(
    options: SearchOptions,
    text: str,
    named: Sequence[Sequence[TagRecord]],
    sources: Sources,
    within: Ids | None,
) -> _Scored:
    """Photos that show an open-set concept: CLIP proposes, the alignment decoder decides."""
    scorer = sources.scorer()
    labels = scorer.embed_labels([Concept(text)])
    groups = [tuple(tag.id for tag in group) for group in named]
    also = tuple(tag_id for group in groups for tag_id in group)
    found = _candidates(labels, sources, within, also, max(SHORTLIST, options.limit))
    standing, cut = found.floor.standing(found.similarities), found.floor.cut()
    by_similarity = similarity_score(standing, cut)
    if options.rank is Rank.CLIP or not sources.has_tokens:
        kept = relevant_by_similarity(standing, cut)
        probabilities = None
        if options.min_probability is not None:
            probabilities = _probabilities(scorer, labels, sources, found.ids)
            kept = probabilities >= options.min_probability
        return _Scored(found.ids, by_similarity, kept, _evidence(found, standing, probabilities))
    looked_at = np.union1d(found.ids, found.background)
    all_probabilities = _probabilities(scorer, labels, sources, looked_at)
    scores = probabilities = all_probabilities[np.searchsorted(looked_at, found.ids)]
    by_tags = _tag_evidence(sources.catalog, found.ids, groups)
    if options.rank is Rank.FUSED:
        means = None if by_tags is None else by_tags.mean(axis=1)
        scores = _fused(probabilities, by_similarity, means)
    usual = all_probabilities[np.searchsorted(looked_at, found.background)]
    floor = NoiseFloor.of_logits(logit(usual))
    sure = sources.catalog.models.usual_threshold(scorer.model_id) or DEFAULT_THRESHOLD
    named_all = None if len(groups) < 2 or by_tags is None else by_tags.min(axis=1) >= sure
    kept = relevant_by_decoder(logit(probabilities), floor, standing, cut, sure, named_all)
    if options.min_probability is not None:
        kept = probabilities >= options.min_probability
    return _Scored(found.ids, scores, kept, _evidence(found, standing, probabilities, floor))


def _fused(probabilities: Floats, by_similarity: Floats, by_tags: Floats | None) -> Floats:
    """(photos,) the weighted mean of the evidence there is."""
    parts = [(DECODER_WEIGHT, probabilities), (SIMILARITY_WEIGHT, by_similarity)]
    if by_tags is not None:
        parts.append((TAGS_WEIGHT, by_tags))
    total = sum(weight * part for weight, part in parts)
    return np.asarray(total / sum(weight for weight, _ in parts), dtype=np.float32)


def _tag_evidence(catalog: Catalog, ids: Ids, groups: Sequence[tuple[int, ...]]) -> Floats | None:
    """(photos, tags named) probabilities of what a text names; None where it names no tag."""
    if not groups:
        return None
    each = [catalog.photos.probability(ids, group).max(axis=1) for group in groups]
    return np.stack(each, axis=1)


def _candidates(
    labels: LabelEmbeddings,
    sources: Sources,
    within: Ids | None,
    also: tuple[int, ...],
    shortlist: int = SHORTLIST,
) -> Candidates:
    """Candidates among the photos that have an embedding of the active model."""
    if sources.model_id is None:
        empty = np.empty(0, dtype=np.int64)
        none = np.empty(0, dtype=np.float32)
        return Candidates(empty, none, NoiseFloor.of_similarities(none), empty)
    extra = tagged(sources.catalog, also, within, shortlist)
    shown = sources.catalog.photos.select(PhotoFilter()) if within is None else within
    if not sources.are_current():  # to make the index of a former model may take minutes
        raise _changed()
    return find_candidates(labels, sources.vectors(), shown, extra, shortlist)


def _probabilities(scorer: Scorer, labels: LabelEmbeddings, sources: Sources, ids: Ids) -> Floats:
    """(photos,) the model's probability for one label, from what is stored of each photo."""
    probabilities = np.zeros(len(ids), dtype=np.float32)  # what was purged meanwhile keeps 0
    there: list[Ids] = []

    def blocks() -> Iterator[StoredPhotos]:
        for block_ids, block in sources.catalog.analyses.stored(sources.model_id or "", ids):
            there.append(block_ids)
            yield block

    scored = scorer.score(labels, blocks())
    if there:
        probabilities[np.isin(ids, np.concatenate(there))] = scored[:, 0]
    return probabilities


def _evidence(
    found: Candidates,
    standing: Floats,
    probabilities: Floats | None = None,
    usual: NoiseFloor | None = None,
) -> Callable[[int], Evidence]:
    floor = found.floor if found.floor.photos else None
    usual = usual if usual is not None and usual.photos else None
    return lambda row: Evidence(
        float(found.similarities[row]),
        None if floor is None else floor.median,
        None if floor is None else float(standing[row]),
        None if probabilities is None else float(probabilities[row]),
        None if usual is None else float(1 / (1 + np.exp(-usual.median))),
    )


def _result(
    options: SearchOptions,
    plan: Plan,
    names: tuple[str, ...],
    scored: _Scored,
    catalog: Catalog,
) -> SearchResult:
    order = np.lexsort((-scored.scores, ~scored.relevant))  # relevant first, each by score
    if not options.everything:
        order = order[scored.relevant[order]]
    chosen = order[: options.limit]
    ids = scored.ids[chosen]
    photos = {photo.id: photo for photo in catalog.photos.many(ids)}
    tags = catalog.tags.of(ids)
    hits = [
        Hit(
            photos[photo_id],
            float(scored.scores[row]),
            bool(scored.relevant[row]),
            tuple(_matching(tags[photo_id], names)),
            scored.evidence(int(row)),
        )
        for row, photo_id in zip(chosen, ids.tolist(), strict=True)
        if photo_id in photos
    ]
    below = int(len(scored.ids) - np.count_nonzero(scored.relevant))
    found = len(order)
    return SearchResult(tuple(hits), names, plan.concept, found, below)


def _matching(tags: Sequence[PhotoTag], names: Sequence[str]) -> Iterator[PhotoTag]:
    """The photo's tags that were asked for, else its most probable ones."""
    asked = [tag for tag in tags if tag.name in names]
    yield from asked or tags[:4]
