"""How one batch of analyses is written, inside the transaction that its caller holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from photoindex.catalog.chunks import mark_analysed
from photoindex.catalog.columns import clock_text, now_text
from photoindex.catalog.files import put_files
from photoindex.catalog.ids import listed
from photoindex.catalog.postings import Figures, amend
from photoindex.catalog.records import NewAnalysis
from photoindex.catalog.tokens import pack_floats, pack_tokens
from photoindex.errors import LibraryError
from photoindex.photo import PhotoFacts, Source
from photoindex.tagger import ImageTokens, StoredPhoto, Tag

CONCEPT_FLOOR = 0.05
"""A concept's probabilities below this are not kept: no threshold can go lower."""

_MODEL = "SELECT model_id, embedding_size, token_count, token_width FROM models WHERE id = ?"
_ENTRY = "SELECT id FROM tags JOIN vocabulary ON tag_id = id WHERE name = ? AND model_id = ?"
_CONCEPTS = """
    SELECT concepts.id, tag_id, threshold
    FROM concepts JOIN concept_embeddings ON concept_id = concepts.id WHERE model_id = ?"""
_FINISH = """
    UPDATE models SET generation = random(), token_count = ?, token_width = ? WHERE id = ?"""
_PUT_PHOTO = """
    INSERT INTO photos
    (hash, size, width, height, format, taken_at, camera, latitude, longitude, added_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (hash) DO UPDATE SET
    width = excluded.width, height = excluded.height, format = excluded.format,
    taken_at = excluded.taken_at, camera = excluded.camera,
    latitude = excluded.latitude, longitude = excluded.longitude
    RETURNING id"""
_PUT_ANALYSIS = """
    INSERT INTO analyses (photo_id, model_id, embedding, analysed_at) VALUES (?, ?, ?, ?)"""
_PUT_TOKENS = 'INSERT INTO image_tokens (analysis_id, "values", scales, width) VALUES (?, ?, ?, ?)'
_PUT_TAGS = "INSERT INTO analysis_tags (analysis_id, tag_ids, probabilities) VALUES (?, ?, ?)"
_EARLIER = """
    SELECT photo_id, tag_ids
    FROM json_each(?) AS asked CROSS JOIN analyses ON photo_id = asked.value AND model_id = ?
    LEFT JOIN analysis_tags ON analysis_id = analyses.id"""
_DROP_ANALYSIS = "DELETE FROM analyses WHERE photo_id = ? AND model_id = ?"
_DROP_UNSCORED = "DELETE FROM unscored WHERE photo_id = ? AND model_id = ?"
_PUT_UNSCORED = """
    INSERT INTO unscored (concept_id, model_id, photo_id) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING"""


class Recorder:
    """Writes analyses of one model in one transaction."""

    def __init__(self, connection: sqlite3.Connection, model: int) -> None:
        self._connection = connection
        self._model = model
        self._now = now_text()
        self._model_id, self._embedding_size, count, width = connection.execute(
            _MODEL, (model,)
        ).fetchone()
        self._token_shape = None if count is None or width is None else (count, width)
        self._tag_ids: dict[str, int | None] = {}  # of the names met so far
        self._concepts = {
            concept: (tag_id, min(CONCEPT_FLOOR, threshold))
            for concept, tag_id, threshold in connection.execute(_CONCEPTS, (model,))
        }

    def record(self, batch: Sequence[NewAnalysis]) -> list[int]:
        """Photos with their files, tags, embeddings, tokens and concepts. Returns their ids."""
        photo_ids = [self._put_photo(item.facts) for item in batch]
        put_files(
            self._connection,
            [
                (file, photo_id, None)
                for item, photo_id in zip(batch, photo_ids, strict=True)
                for file in item.files
            ],
        )
        latest = dict(zip(photo_ids, batch, strict=True))
        forget_analyses(self._connection, self._model, list(latest))
        tags = {
            photo_id: self._put_analysis(photo_id, item.analysis.stored, item.analysis.tags)
            for photo_id, item in latest.items()
        }
        mark_analysed(self._connection, self._model, list(latest))
        self._put_figures(Source.MODEL, tags)
        self._put_figures(
            Source.CONCEPT,
            {photo_id: self._of_concepts(item.concepts) for photo_id, item in latest.items()},
        )
        self._note_unscored(latest)
        count, width = self._token_shape or (None, None)
        self._connection.execute(_FINISH, (count, width, self._model))
        return photo_ids

    def _put_photo(self, facts: PhotoFacts) -> int:
        metadata = facts.metadata
        row = self._connection.execute(
            _PUT_PHOTO,
            (
                facts.hash,
                facts.size,
                facts.width,
                facts.height,
                facts.format,
                clock_text(metadata.taken_at),
                metadata.camera,
                metadata.latitude,
                metadata.longitude,
                self._now,
            ),
        ).fetchone()
        return int(row[0])

    def _put_analysis(
        self, photo_id: int, stored: StoredPhoto, tags: Iterable[Tag]
    ) -> dict[int, float]:
        """What one photo's analysis keeps, photo by photo. Returns tag id → probability."""
        if stored.embedding.shape != (self._embedding_size,):
            raise LibraryError(
                f'model "{self._model_id}" gave an embedding of shape {stored.embedding.shape}'
                f" where it has {self._embedding_size} numbers: report this to its makers"
            )
        row = (photo_id, self._model, pack_floats(stored.embedding), self._now)
        analysis = self._connection.execute(_PUT_ANALYSIS, row).lastrowid
        assert analysis is not None
        if stored.tokens is not None:
            self._put_tokens(analysis, stored.tokens)
        figures = self._of_tags(tags)
        self._connection.execute(
            _PUT_TAGS,
            (
                analysis,
                np.array(list(figures), dtype="<u4").tobytes(),
                np.array(list(figures.values()), dtype="<f8").tobytes(),
            ),
        )
        return figures

    def _put_tokens(self, analysis: int, tokens: ImageTokens) -> None:
        shape = tokens.values.shape
        if self._token_shape is None and len(shape) == 2:
            self._token_shape = (shape[0], shape[1])
        if shape != self._token_shape or tokens.scales.shape != shape[:1]:
            raise LibraryError(
                f'model "{self._model_id}" gave image tokens of shape {shape} where'
                f" it gave {self._token_shape} before: report this to its makers"
            )
        self._connection.execute(_PUT_TOKENS, (analysis, *pack_tokens(tokens)))

    def _of_tags(self, tags: Iterable[Tag]) -> dict[int, float]:
        figures: dict[int, float] = {}
        for tag in tags:
            tag_id = self._tag_id(tag.name)
            if tag_id is None:
                raise LibraryError(
                    f'model "{self._model_id}" gave the tag "{tag.name}", which is not in its'
                    " vocabulary: report this to its makers"
                )
            if tag_id in figures or not 0 <= tag.probability <= 1:
                raise LibraryError(
                    f'model "{self._model_id}" gave the tag "{tag.name}" twice, or a probability'
                    f" that is none ({tag.probability}): report this to its makers"
                )
            figures[tag_id] = tag.probability
        return figures

    def _tag_id(self, name: str) -> int | None:
        if name not in self._tag_ids:
            row = self._connection.execute(_ENTRY, (name, self._model)).fetchone()
            self._tag_ids[name] = None if row is None else row[0]
        return self._tag_ids[name]

    def _of_concepts(self, scored: Mapping[int, float]) -> dict[int, float]:
        figures: dict[int, float] = {}
        for concept, probability in scored.items():
            tag_id, floor = self._concepts.get(concept, (0, 2.0))
            if floor <= probability <= 1:
                figures[tag_id] = probability
        return figures

    def _put_figures(self, source: Source, said: Mapping[int, Mapping[int, float]]) -> None:
        """Photo id → tag id → probability, tag by tag."""
        figures = Figures.of(
            [tag_id for tags in said.values() for tag_id in tags],
            [photo_id for photo_id, tags in said.items() for _ in tags],
            [probability for tags in said.values() for probability in tags.values()],
        )
        amend(self._connection, source, self._model, Figures.none(), figures)

    def _note_unscored(self, latest: Mapping[int, NewAnalysis]) -> None:
        """Remember the concepts that were added after these photos' analysis began."""
        missing = [
            (concept, photo_id)
            for photo_id, item in latest.items()
            for concept in self._concepts.keys() - item.concepts.keys()
        ]
        put_unscored(self._connection, self._model, missing)


def forget_analyses(connection: sqlite3.Connection, model: int, photo_ids: Sequence[int]) -> None:
    """Remove what a model gave for some photos: analyses, and figures of tags and concepts."""
    earlier = connection.execute(_EARLIER, (listed(photo_ids), model)).fetchall()
    if not earlier:
        return
    photos = np.array([photo_id for photo_id, _ in earlier], dtype=np.int64)
    tags = [np.frombuffer(tag_ids or b"", dtype="<u4") for _, tag_ids in earlier]
    counts = [len(one) for one in tags]
    gone = Figures.leaving(np.concatenate(tags), np.repeat(photos, counts))
    amend(connection, Source.MODEL, model, gone, Figures.none())
    concepts = np.array(
        [tag_id for _, tag_id, _ in connection.execute(_CONCEPTS, (model,))], dtype=np.int64
    )
    gone = Figures.leaving(np.repeat(concepts, len(photos)), np.tile(photos, len(concepts)))
    amend(connection, Source.CONCEPT, model, gone, Figures.none())
    connection.executemany(_DROP_ANALYSIS, [(photo_id, model) for photo_id, _ in earlier])
    connection.executemany(_DROP_UNSCORED, [(photo_id, model) for photo_id, _ in earlier])
    mark_analysed(connection, model, photos, False)


def put_unscored(
    connection: sqlite3.Connection, model: int, pairs: Iterable[tuple[int, int]]
) -> None:
    """Write (concept id, photo id) pairs that a model has yet to score."""
    connection.executemany(_PUT_UNSCORED, ((concept, model, photo) for concept, photo in pairs))
