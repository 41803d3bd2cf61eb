"""The rule of which tags a photo shows, over the whole library at once.

A user's word decides: what the user gave is shown, what the user took away is not, whatever else
says it. Imported tags are shown. What a model says is shown from the threshold in its vocabulary
on, what a concept says from the concept's threshold on. Figures of a model that is not the active
one count only for photos that the active one has not analysed.

figures.py applies the same rule to few photos with all their tags, counting.py to all tags.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from photoindex.catalog.chunks import Flags, analysed, extent
from photoindex.catalog.models import active_model
from photoindex.catalog.postings import TagPhotos, photos_of
from photoindex.photo import Source
from photoindex.tagger import Floats, Ids

_PEOPLE = "SELECT photo_id, probability > 0 FROM photo_tags WHERE tag_id = ?"
_VOCABULARY = "SELECT model_id, threshold FROM vocabulary WHERE tag_id = ?"
_CONCEPT = "SELECT threshold FROM concepts WHERE tag_id = ?"

_Key = tuple[Source, int | None]  # a concept has one threshold, whatever the model


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
                self._words(tag_id),
                self._thresholds(tag_id),
            )
        return flags

    def by_concept(self, tag_id: int) -> Flags:
        """(size,) bool: which photos show what a concept itself says."""
        parts = (
            part for part in photos_of(self._connection, tag_id) if part.source is Source.CONCEPT
        )
        words = self._words(tag_id)
        return self._showing(parts, words[words[:, 1] == 0], self._thresholds(tag_id))

    def probability(self, tag_id: int) -> Floats:
        """(size,) float32: how probable a tag is on every photo, thresholds aside.

        0 where nothing is stored or the user took the tag away, 1 where people gave it.
        """
        table = np.zeros(self.size, dtype=np.float32)
        thresholds = self._thresholds(tag_id)
        for place, part in enumerate(photos_of(self._connection, tag_id)):
            if _key(part.source, part.model_id) in thresholds:
                counts = self._counts(part)
                values = part.probabilities if counts is None else part.probabilities * counts
                if place:
                    values = np.maximum(table[part.photo_ids], values)
                table[part.photo_ids] = values
        words = self._words(tag_id)
        table[words[words[:, 1] == 1, 0]] = 1
        table[words[words[:, 1] == 0, 0]] = 0
        return table

    def _showing(
        self, parts: Iterable[TagPhotos], words: Ids, thresholds: Mapping[_Key, float]
    ) -> Flags:
        """(size,) bool: which photos show one tag, by its figures and by people's words."""
        flags = np.zeros(self.size, dtype=bool)
        for place, part in enumerate(parts):
            passing = self._passing(part, thresholds)
            flags[part.photo_ids] = flags[part.photo_ids] | passing if place else passing
        flags[words[words[:, 1] == 1, 0]] = True
        flags[words[words[:, 1] == 0, 0]] = False
        return flags

    def _passing(self, part: TagPhotos, thresholds: Mapping[_Key, float]) -> Flags:
        """(n,) bool: on which of its photos a figure counts and reaches its threshold."""
        shown = reaches(
            part.probabilities, thresholds.get(_key(part.source, part.model_id), np.inf)
        )
        counts = self._counts(part)
        return np.asarray(shown if counts is None else shown & counts)

    def _counts(self, part: TagPhotos) -> Flags | None:
        """(n,) bool: where a figure counts, as the active model saw no photo there; None: all."""
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

    def _words(self, tag_id: int) -> Ids:
        """(n, 2) int64: photo, and 1 or 0 for what people say of a tag."""
        rows = self._connection.execute(_PEOPLE, (tag_id,)).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def _threshold(self, own: float) -> float:
        return own if self._min_probability is None else self._min_probability

    @functools.cached_property
    def _analysed(self) -> Flags:
        return analysed(self._connection, self._active, self.size)


def reaches(probabilities: Any, threshold: float) -> Any:
    """Whether probabilities (a number, or (n,) float32) are at or over a threshold.

    As float32, in which models compute: 0.7 reaches 0.7 however either was stored.
    """
    return np.asarray(probabilities, dtype=np.float32) >= np.float32(threshold)


def _key(source: Source, model: int) -> _Key:
    return source, model if source is Source.MODEL else None
