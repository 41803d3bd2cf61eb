"""The rule of which tags a photo shows, and how it is asked of the database.

A user's word decides: what the user gave is shown, what the user took away is not, whatever else
says it. Imported tags are shown. What a model says is shown from the threshold in its vocabulary
on, what a concept says from the concept's threshold on. Figures of a model that is not the active
one count only for photos that the active one has not analysed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import Subquery

from photoindex.catalog.ids import among
from photoindex.catalog.schema import (
    AnalysisRow,
    ConceptRow,
    File,
    Photo,
    PhotoTagRow,
    VocabularyEntry,
)
from photoindex.photo import FileState, Source
from photoindex.tagger import AnyIds

_BY_PEOPLE = (Source.USER, Source.IMPORTED)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which figures to look at: of some tags, of some photos, None for all."""

    tags: tuple[int, ...] | None = None
    photos: AnyIds | None = None

    def leading(self, column: Any) -> Any:
        """`column` of a table of tags, made to lead the search unless photos are given.

        SQLite then reads, for each tag, the range of the index on tags that its threshold
        leaves, where it would go through the whole of it: no index serves the sum.
        """
        return column + 0 if self.photos is None else column

    def conditions(self, tag_id: Any) -> list[ColumnElement[bool]]:
        """tag_id: the column to look for tags in."""
        found: list[ColumnElement[bool]] = []
        if self.tags is not None:
            found.append(among(tag_id, self.tags))
        if self.photos is not None:
            found.append(among(PhotoTagRow.photo_id, self.photos))
        return found


def figures(
    narrowing: Narrowing,
    active: int | None,
    *,
    min_probability: float | None = None,
    hidden: bool = False,
    sources: Iterable[Source] = tuple(Source),
) -> Subquery:
    """Rows (photo_id, tag_id, probability, source, model_id, threshold) that are shown.

    active: the active model's row; min_probability: in place of the thresholds;
    hidden: all that is stored instead, whether shown or not.
    """
    wanted = set(sources)
    arms = []
    if Source.MODEL in wanted:
        arms.append(_by_model(narrowing, min_probability, hidden))
    if Source.CONCEPT in wanted:
        arms.append(_by_concept(narrowing, min_probability, hidden))
    arms = [arm if hidden else arm.where(_current(active)) for arm in arms]
    if people := [source for source in _BY_PEOPLE if source in wanted]:
        arms.append(_by_people(narrowing, people, hidden))
    if not hidden:
        arms = [arm.where(_not_rejected()) for arm in arms]
    return union_all(*arms).subquery("figures")


def live(photo_id: Any) -> ColumnElement[bool]:
    """Whether some file holds the photo now, if only on a disk that is not mounted."""
    return exists().where(
        File.photo_id == photo_id, File.state.in_((FileState.PRESENT, FileState.OFFLINE))
    )


def held(photo_id: Any) -> ColumnElement[bool]:
    """The same as `live` where many photos are looked at: the few that are not are listed once."""
    return cast(ColumnElement[bool], photo_id.not_in(select(Photo.id).where(~live(Photo.id))))


def _columns(tag_id: Any, threshold: Any) -> tuple[Any, ...]:
    return (
        PhotoTagRow.photo_id,
        tag_id.label("tag_id"),
        PhotoTagRow.probability,
        PhotoTagRow.source,
        PhotoTagRow.model_id,
        threshold.label("threshold"),
    )


def _passes(threshold: Any, min_probability: float | None, hidden: bool) -> ColumnElement[bool]:
    if hidden:
        return true()
    return PhotoTagRow.probability >= (
        threshold if min_probability is None else literal(min_probability)
    )


def _by_model(narrowing: Narrowing, min_probability: float | None, hidden: bool) -> Select[Any]:
    return (
        select(*_columns(VocabularyEntry.tag_id, VocabularyEntry.threshold))
        .select_from(VocabularyEntry)
        .join(
            PhotoTagRow,
            and_(
                PhotoTagRow.tag_id == narrowing.leading(VocabularyEntry.tag_id),
                PhotoTagRow.model_id == narrowing.leading(VocabularyEntry.model_id),
                PhotoTagRow.source == Source.MODEL,
                _passes(VocabularyEntry.threshold, min_probability, hidden),
            ),
        )
        .where(*narrowing.conditions(VocabularyEntry.tag_id))
    )


def _by_concept(narrowing: Narrowing, min_probability: float | None, hidden: bool) -> Select[Any]:
    return (
        select(*_columns(ConceptRow.tag_id, ConceptRow.threshold))
        .select_from(ConceptRow)
        .join(
            PhotoTagRow,
            and_(
                PhotoTagRow.tag_id == narrowing.leading(ConceptRow.tag_id),
                PhotoTagRow.source == Source.CONCEPT,
                _passes(ConceptRow.threshold, min_probability, hidden),
            ),
        )
        .where(*narrowing.conditions(ConceptRow.tag_id))
    )


def _by_people(narrowing: Narrowing, sources: list[Source], hidden: bool) -> Select[Any]:
    return select(*_columns(PhotoTagRow.tag_id, null())).where(
        *narrowing.conditions(PhotoTagRow.tag_id),
        PhotoTagRow.source.in_(sources),
        true() if hidden else PhotoTagRow.probability > 0,
    )


def _current(active: int | None) -> ColumnElement[bool]:
    if active is None:
        return true()
    analysed = exists().where(
        AnalysisRow.photo_id == PhotoTagRow.photo_id, AnalysisRow.model_id == active
    )
    return or_(PhotoTagRow.model_id == active, ~analysed)


def _not_rejected() -> ColumnElement[bool]:
    rejected = aliased(PhotoTagRow)
    return ~exists().where(
        rejected.tag_id == PhotoTagRow.tag_id,
        rejected.photo_id == PhotoTagRow.photo_id,
        # Spelt out as in the partial index, else SQLite does not use it.
        rejected.source == literal_column("'user'"),
        rejected.probability == literal_column("0"),
    )
