"""How one batch of analyses is written, inside the transaction that its caller holds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from photoindex.catalog.files import put_files
from photoindex.catalog.models import same_name
from photoindex.catalog.records import NewAnalysis
from photoindex.catalog.schema import (
    AnalysisRow,
    ConceptEmbedding,
    ConceptRow,
    Model,
    Photo,
    PhotoTagRow,
    TagRow,
    TokensRow,
    Unscored,
    VocabularyEntry,
)
from photoindex.catalog.tokens import pack_floats, pack_tokens
from photoindex.errors import LibraryError
from photoindex.photo import PhotoFacts, Source
from photoindex.tagger import ImageTokens, StoredPhoto

CONCEPT_FLOOR = 0.05
"""A concept's probabilities below this are not kept: no threshold can go lower."""


class Recorder:
    """Writes the analyses of one model in one transaction."""

    def __init__(self, connection: Connection, model: int) -> None:
        self._connection = connection
        self._model = model
        self._now = datetime.now(UTC)
        row = connection.execute(
            select(
                Model.model_id, Model.embedding_size, Model.token_count, Model.token_width
            ).where(Model.id == model)
        ).one()
        self._model_id, self._embedding_size = row.model_id, row.embedding_size
        self._token_shape: tuple[int, ...] | None = None
        if row.token_count is not None and row.token_width is not None:
            self._token_shape = (row.token_count, row.token_width)
        self._vocabulary = {
            same_name(name): tag_id
            for name, tag_id in connection.execute(
                select(TagRow.name, TagRow.id)
                .join(VocabularyEntry)
                .where(VocabularyEntry.model_id == model)
            )
        }
        self._concepts = {
            concept: (tag_id, min(CONCEPT_FLOOR, threshold))
            for concept, tag_id, threshold in connection.execute(
                select(ConceptRow.id, ConceptRow.tag_id, ConceptRow.threshold)
                .join(ConceptEmbedding)
                .where(ConceptEmbedding.model_id == model)
            )
        }

    def record(self, item: NewAnalysis) -> int:
        """One photo with its files, tags, embedding, tokens and concepts. Returns its id."""
        photo_id = self._put_photo(item.facts)
        put_files(self._connection, [(file, photo_id, None) for file in item.files])
        self._put_stored(photo_id, item.analysis.stored)
        self._put_figures(photo_id, item)
        self._note_unscored(photo_id, item.concepts)
        return photo_id

    def finish(self) -> None:
        """Say that the model's analyses have changed."""
        count, width = self._token_shape or (None, None)
        self._connection.execute(
            update(Model)
            .where(Model.id == self._model)
            .values(generation=func.random(), token_count=count, token_width=width)
        )

    def _put_photo(self, facts: PhotoFacts) -> int:
        metadata = facts.metadata
        statement = insert(Photo).values(
            hash=facts.hash,
            size=facts.size,
            width=facts.width,
            height=facts.height,
            format=facts.format,
            taken_at=metadata.taken_at,
            camera=metadata.camera,
            latitude=metadata.latitude,
            longitude=metadata.longitude,
            added_at=self._now,
        )
        replaced = ("width", "height", "format", "taken_at", "camera", "latitude", "longitude")
        return self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["hash"],
                set_={name: statement.excluded[name] for name in replaced},
            ).returning(Photo.id)
        ).scalar_one()

    def _put_stored(self, photo_id: int, stored: StoredPhoto) -> None:
        if stored.embedding.shape != (self._embedding_size,):
            raise LibraryError(
                f'model "{self._model_id}" gave an embedding of shape {stored.embedding.shape}'
                f" where it has {self._embedding_size} numbers: report this to its makers"
            )
        self._connection.execute(
            delete(AnalysisRow).where(
                AnalysisRow.photo_id == photo_id, AnalysisRow.model_id == self._model
            )
        )
        analysis = self._connection.execute(
            insert(AnalysisRow)
            .values(
                photo_id=photo_id,
                model_id=self._model,
                embedding=pack_floats(stored.embedding),
                analysed_at=self._now,
            )
            .returning(AnalysisRow.id)
        ).scalar_one()
        if stored.tokens is not None:
            self._put_tokens(analysis, stored.tokens)

    def _put_tokens(self, analysis: int, tokens: ImageTokens) -> None:
        if self._token_shape is None:
            self._token_shape = tokens.values.shape
        if (
            tokens.values.shape != self._token_shape
            or tokens.scales.shape != tokens.values.shape[:1]
        ):
            raise LibraryError(
                f'model "{self._model_id}" gave image tokens of shape {tokens.values.shape} where'
                f" it gave {self._token_shape} before: report this to its makers"
            )
        values, scales, width = pack_tokens(tokens)
        self._connection.execute(
            insert(TokensRow).values(
                analysis_id=analysis, values=values, scales=scales, width=width
            )
        )

    def _put_figures(self, photo_id: int, item: NewAnalysis) -> None:
        self._connection.execute(
            delete(PhotoTagRow).where(
                PhotoTagRow.photo_id == photo_id, PhotoTagRow.model_id == self._model
            )
        )
        figures = [
            (self._tag_id(tag.name), Source.MODEL, tag.probability) for tag in item.analysis.tags
        ]
        for concept, probability in item.concepts.items():
            tag_id, floor = self._concepts.get(concept, (0, 2.0))
            if probability >= floor:
                figures.append((tag_id, Source.CONCEPT, probability))
        put_figures(self._connection, self._model, [(photo_id, *figure) for figure in figures])

    def _tag_id(self, name: str) -> int:
        tag_id = self._vocabulary.get(same_name(name))
        if tag_id is None:
            raise LibraryError(
                f'model "{self._model_id}" gave the tag "{name}", which is not in its vocabulary:'
                " report this to its makers"
            )
        return tag_id

    def _note_unscored(self, photo_id: int, scored: Iterable[int]) -> None:
        """Remember the concepts that were added after this photo's analysis began."""
        self._connection.execute(
            delete(Unscored).where(Unscored.photo_id == photo_id, Unscored.model_id == self._model)
        )
        missing = self._concepts.keys() - set(scored)
        put_unscored(self._connection, self._model, [(one, photo_id) for one in missing])


def put_figures(
    connection: Connection, model: int, figures: Iterable[tuple[int, int, Source, float]]
) -> None:
    """Write (photo id, tag id, source, probability) rows of a model."""
    rows = [
        {
            "photo_id": photo_id,
            "tag_id": tag_id,
            "source": source,
            "model_id": model,
            "probability": float(probability),
        }
        for photo_id, tag_id, source, probability in figures
    ]
    if rows:
        connection.execute(insert(PhotoTagRow), rows)


def put_unscored(connection: Connection, model: int, pairs: Iterable[tuple[int, int]]) -> None:
    """Write (concept id, photo id) pairs that a model has yet to score."""
    rows = [
        {"concept_id": concept, "model_id": model, "photo_id": photo_id}
        for concept, photo_id in pairs
    ]
    if rows:
        connection.execute(insert(Unscored).on_conflict_do_nothing(), rows)
