"""The rule of which tags a photo shows, and how it is asked of the database.

A user's word decides: what the user gave is shown, what the user took away is not, whatever else
says it. Imported tags are shown. What a model says is shown from the threshold in its vocabulary
on, what a concept says from the concept's threshold on. Figures of a model that is not the active
one count only for photos that the active one has not analysed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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

from photoindex.catalog.ids import AnyIds, among
from photoindex.catalog.schema import (
    AnalysisRow,
    ConceptRow,
    File,
    PhotoTagRow,
    VocabularyEntry,
)
from photoindex.photo import FileState, Source

_BY_PEOPLE = (Source.USER, Source.IMPORTED)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which figures to look at: of some tags, of some photos, None for all."""

    tags: tuple[int, ...] | None = None
    photos: AnyIds | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.tags is not None:
            found.append(among(PhotoTagRow.tag_id, self.tags))
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
        arms.append(_by_model(min_probability, hidden))
    if Source.CONCEPT in wanted:
        arms.append(_by_concept(min_probability, hidden))
    arms = [arm if hidden else arm.where(_current(active)) for arm in arms]
    if people := [source for source in _BY_PEOPLE if source in wanted]:
        arms.append(_by_people(people, hidden))
    conditions = narrowing.conditions()
    if not hidden:
        conditions.append(_not_rejected())
    return union_all(*(arm.where(*conditions) for arm in arms)).subquery("figures")


def live(photo_id: Any) -> ColumnElement[bool]:
    """Whether some file holds the photo now, if only on a disk that is not mounted."""
    return exists().where(
        File.photo_id == photo_id, File.state.in_((FileState.PRESENT, FileState.OFFLINE))
    )


def _columns(threshold: Any) -> tuple[Any, ...]:
    return (
        PhotoTagRow.photo_id,
        PhotoTagRow.tag_id,
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


def _by_model(min_probability: float | None, hidden: bool) -> Select[Any]:
    # Joined on the threshold, each vocabulary entry reads one range of the index on tags.
    return (
        select(*_columns(VocabularyEntry.threshold))
        .select_from(VocabularyEntry)
        .join(
            PhotoTagRow,
            and_(
                PhotoTagRow.tag_id == VocabularyEntry.tag_id,
                PhotoTagRow.model_id == VocabularyEntry.model_id,
                PhotoTagRow.source == Source.MODEL,
                _passes(VocabularyEntry.threshold, min_probability, hidden),
            ),
        )
    )


def _by_concept(min_probability: float | None, hidden: bool) -> Select[Any]:
    return (
        select(*_columns(ConceptRow.threshold))
        .select_from(ConceptRow)
        .join(
            PhotoTagRow,
            and_(
                PhotoTagRow.tag_id == ConceptRow.tag_id,
                PhotoTagRow.source == Source.CONCEPT,
                _passes(ConceptRow.threshold, min_probability, hidden),
            ),
        )
    )


def _by_people(sources: list[Source], hidden: bool) -> Select[Any]:
    return select(*_columns(null())).where(
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
