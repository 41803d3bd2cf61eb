"""The rule of which tags a photo shows, over the whole library at once.

A user's word decides: what the user gave is shown, what the user took away is not, whatever else
says it. Imported tags are shown. What a model says is shown from the threshold in its vocabulary
on, what a concept says from the concept's threshold on. Figures of a model that is not the active
one count only for photos that the active one has not analysed.

figures.py applies the same rule to few photos with all their tags.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from photoindex.catalog import moments
from photoindex.catalog.chunks import CHUNK, Flags, analysed, extent, spans
from photoindex.catalog.models import active_model
from photoindex.catalog.postings import ChunkTags, TagPhotos, by_chunk, photos_of
from photoindex.photo import Source
from photoindex.tagger import Floats, Ids

_PEOPLE = """
    SELECT source, probability, photo_id FROM photo_tags WHERE tag_id = ?"""
_EVERYBODY = "SELECT photo_id, tag_id, probability > 0 FROM photo_tags ORDER BY photo_id"
_LAST_TAG = "SELECT max(id) FROM tags"
_VOCABULARY = "SELECT model_id, threshold FROM vocabulary WHERE tag_id = ?"
_CONCEPT = "SELECT threshold FROM concepts WHERE tag_id = ?"
_VOCABULARIES = "SELECT tag_id, model_id, threshold FROM vocabulary"
_CONCEPTS = "SELECT tag_id, threshold FROM concepts"

_Key = tuple[Source, int | None]  # a concept has one threshold, whatever the model
_Word = tuple[str, float, int]  # source, probability, photo: what people say of a tag
_Pairs = tuple[Ids, Ids]  # tags and offsets in a chunk, in parallel
_NO_WORDS = np.empty((0, 3), dtype=np.int64)


class Shown:
    """Which photos show which tags, in one transaction.

    min_probability: 0..1, in place of the tags' own thresholds.
    """

    def __init__(
        self, connection: sqlite3.Connection, min_probability: float | None = None
    ) -> None:
        self._connection = connection
        self._min_probability = min_probability
        self._active = active_model(connection)
        self.size = extent(connection)

    def any_of(self, tag_ids: Iterable[int]) -> Flags:
        """(size,) bool: which photos show any of some tags."""
        flags = np.zeros(self.size, dtype=bool)
        for tag_id in tag_ids:
            flags |= self._showing(
                photos_of(self._connection, tag_id),
                self._connection.execute(_PEOPLE, (tag_id,)),
                self._thresholds(tag_id),
            )
        return flags

    def by_concept(self, tag_id: int) -> Flags:
        """(size,) bool: which photos show what a concept itself says."""
        parts = (
            part for part in photos_of(self._connection, tag_id) if part.source is Source.CONCEPT
        )
        taken = (
            word for word in self._connection.execute(_PEOPLE, (tag_id,)) if _is_rejected(word)
        )
        return self._showing(parts, taken, self._thresholds(tag_id))

    def probability(self, tag_id: int) -> Floats:
        """(size,) float32: how probable a tag is on every photo, thresholds aside.

        0 where nothing is stored or the user took the tag away, 1 where people gave it.
        """
        table = np.zeros(self.size, dtype=np.float32)
        thresholds = self._thresholds(tag_id)
        for part in photos_of(self._connection, tag_id):
            if _key(part.source, part.model_id) in thresholds:
                counts = self._counts(part)
                ids = part.photo_ids if counts is None else part.photo_ids[counts]
                values = part.probabilities if counts is None else part.probabilities[counts]
                table[ids] = np.maximum(table[ids], values)
        for word in sorted(self._connection.execute(_PEOPLE, (tag_id,)), key=_is_rejected):
            table[word[2]] = word[1]
        return table

    def counts(self) -> Mapping[int, int]:
        """Tag id → how many photos show it, of those that some file holds; none with zero.

        Chunk by chunk, with no more in memory than what is said of one.
        """
        (most,) = self._connection.execute(_LAST_TAG).fetchone()
        totals = np.zeros((most or 0) + 1, dtype=np.int64)
        words = self._words_by_chunk()
        thresholds = self._all_thresholds()
        for part in by_chunk(self._connection):
            tags, offsets = self._pairs(part, thresholds)
            said = words.pop(part.chunk, _NO_WORDS)
            several = _met_again([tag for tag, _, _ in part.keys])
            odd = np.isin(tags, np.union1d(several, said[:, 0]))
            totals += np.bincount(tags[~odd], minlength=len(totals))
            totals += _counted_once(tags[odd], offsets[odd], said, len(totals))
        for said in words.values():
            nothing = np.empty(0, dtype=np.int64)
            totals += _counted_once(nothing, nothing, said, len(totals))
        return {tag: int(totals[tag]) for tag in np.flatnonzero(totals).tolist()}

    def _pairs(self, part: ChunkTags, thresholds: Mapping[int, dict[_Key, float]]) -> _Pairs:
        """What is shown in a chunk by figures alone, on photos that some file holds."""
        nowhere: dict[_Key, float] = {}
        needed = np.array(
            [
                thresholds.get(tag, nowhere).get(_key(source, model), np.inf)
                for tag, source, model in part.keys
            ],
            dtype=np.float32,
        )
        shown = part.probabilities >= np.repeat(needed, part.counts)
        here = slice(part.chunk * CHUNK, (part.chunk + 1) * CHUNK)
        shown &= self._live[here][part.offsets]
        if self._active is not None:
            own = np.array([model == self._active for _, _, model in part.keys])
            if not own.all():
                shown &= np.repeat(own, part.counts) | ~self._analysed[here][part.offsets]
        tags = np.repeat(np.array([tag for tag, _, _ in part.keys]), part.counts)
        return tags[shown], part.offsets[shown]

    def _words_by_chunk(self) -> dict[int, Ids]:
        """Chunk → (n, 3) int64: tag, offset and 1 or 0 for what people say of live photos."""
        rows = np.array(self._connection.execute(_EVERYBODY).fetchall(), dtype=np.int64)
        rows = rows.reshape(-1, 3)
        rows = rows[self._live[rows[:, 0]]]  # by photo
        return {
            chunk: np.stack([rows[at, 1], rows[at, 0] % CHUNK, rows[at, 2]], axis=1)
            for chunk, at in spans(rows[:, 0])
        }

    def _showing(
        self,
        parts: Iterable[TagPhotos],
        words: Iterable[_Word],
        thresholds: Mapping[_Key, float],
    ) -> Flags:
        """(size,) bool: which photos show one tag, by its figures and by people's words."""
        flags = np.zeros(self.size, dtype=bool)
        for part in parts:
            flags[self._passing(part, thresholds)] = True
        for word in sorted(words, key=_is_rejected):
            flags[word[2]] = word[1] > 0
        return flags

    def _passing(self, part: TagPhotos, thresholds: Mapping[_Key, float]) -> Ids:
        """The photos on which a figure counts and reaches its threshold."""
        threshold = thresholds.get(_key(part.source, part.model_id))
        if threshold is None:
            return np.empty(0, dtype=np.int64)
        shown = reaches(part.probabilities, threshold)
        counts = self._counts(part)
        return np.asarray(part.photo_ids[shown if counts is None else shown & counts])

    def _counts(self, part: TagPhotos) -> Flags | None:
        """On which photos a figure counts, as the active model has not seen them; None: all."""
        if self._active is None or part.model_id == self._active:
            return None
        return np.asarray(~self._analysed[part.photo_ids])

    def _thresholds(self, tag_id: int) -> dict[_Key, float]:
        found: dict[_Key, float] = {}
        for model, threshold in self._connection.execute(_VOCABULARY, (tag_id,)):
            found[Source.MODEL, model] = self._threshold(threshold)
        for (threshold,) in self._connection.execute(_CONCEPT, (tag_id,)):
            found[Source.CONCEPT, None] = self._threshold(threshold)
        return found

    def _all_thresholds(self) -> Mapping[int, dict[_Key, float]]:
        found: dict[int, dict[_Key, float]] = {}
        for tag_id, model, threshold in self._connection.execute(_VOCABULARIES):
            found.setdefault(tag_id, {})[Source.MODEL, model] = self._threshold(threshold)
        for tag_id, threshold in self._connection.execute(_CONCEPTS):
            found.setdefault(tag_id, {})[Source.CONCEPT, None] = self._threshold(threshold)
        return found

    def _threshold(self, own: float) -> float:
        return own if self._min_probability is None else self._min_probability

    @functools.cached_property
    def _analysed(self) -> Flags:
        return analysed(self._connection, self._active, self.size)

    @functools.cached_property
    def _live(self) -> Flags:
        return moments.live(self._connection, self.size)


def reaches(probabilities: Any, threshold: float) -> Any:
    """Whether probabilities (a number, or (n,) float32) are at or over a threshold.

    As float32, in which models compute: 0.7 reaches 0.7 however either was stored.
    """
    return np.asarray(probabilities, dtype=np.float32) >= np.float32(threshold)


def _key(source: Source, model: int) -> _Key:
    return source, model if source is Source.MODEL else None


def _is_rejected(word: _Word) -> bool:
    """Whether the user took the tag away, which goes over whatever else people say."""
    return word[1] == 0


def _met_again(tags: Sequence[int]) -> Ids:
    """Which of ascending tags come more than once: several sources speak of them."""
    ascending = np.array(tags, dtype=np.int64)
    return np.asarray(ascending[1:][ascending[1:] == ascending[:-1]])


def _counted_once(tags: Ids, offsets: Ids, words: Ids, most: int) -> Ids:
    """(most,) int64: how many photos of a chunk show each tag, whoever says so.

    tags, offsets: what figures show; words: what people say, as `_words_by_chunk` has it.
    """
    tag, offset, given = words.T
    said = tag * CHUNK + offset
    pairs = np.union1d(tags * CHUNK + offsets, said[given == 1])
    kept = np.setdiff1d(pairs, said[given == 0], assume_unique=True)
    return np.bincount(kept // CHUNK, minlength=most)
