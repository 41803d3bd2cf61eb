"""Tags: what people give and take, what photos show, and what a word means."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from photoindex.catalog.database import Database
from photoindex.catalog.ids import among, as_ids, as_list
from photoindex.catalog.models import active_model, need_tag
from photoindex.catalog.records import PhotoTag, TagCount, TagRecord
from photoindex.catalog.schema import ConceptRow, Model, Photo, PhotoTagRow, TagRow
from photoindex.catalog.shown import Narrowing, figures, held
from photoindex.errors import NothingFound, UsageError
from photoindex.photo import Source
from photoindex.tagger import AnyIds

_RANK = {Source.USER: 0, Source.IMPORTED: 1, Source.MODEL: 2, Source.CONCEPT: 2}


class Tags:
    """Tags by their English name, in any case, or by their Chinese one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tag(self, photo_ids: AnyIds, name: str, source: Source = Source.USER) -> None:
        """Give photos a tag, as the user or an import; it may be a new one.

        Raises NothingFound for an unknown photo, UsageError for an empty name.
        """
        name = name.strip()
        if not name:
            raise UsageError("a tag needs a name")
        asked = as_list(photo_ids)
        with self._database.write() as connection:
            _need_photos(connection, asked)
            _say(connection, asked, need_tag(connection, name), source, 1.0)

    def untag(self, photo_ids: AnyIds, name: str) -> None:
        """Take a tag from photos, as the user.

        The user's own tag goes; where a model, a concept or an import says it, the user's word
        is kept and hides it. Raises NothingFound for an unknown tag.
        """
        asked = as_list(photo_ids)
        with self._database.write() as connection:
            tag_id = connection.execute(
                select(TagRow.id).where(TagRow.name == name.strip())
            ).scalar_one_or_none()
            if tag_id is None:
                raise NothingFound(f'no photo has a tag "{name}"')
            here = (PhotoTagRow.tag_id == tag_id, among(PhotoTagRow.photo_id, asked))
            connection.execute(delete(PhotoTagRow).where(*here, PhotoTagRow.source == Source.USER))
            said = as_ids(connection.execute(select(PhotoTagRow.photo_id).where(*here).distinct()))
            _say(connection, as_list(said), tag_id, Source.USER, 0.0)

    def of(self, photo_ids: AnyIds, everything: bool = False) -> dict[int, tuple[PhotoTag, ...]]:
        """The tags that photos show: the people's first, then the most probable, a name once.

        everything: every figure stored, shown or not, a name as often as it has sources.
        Every id asked for is a key.
        """
        found: dict[int, list[PhotoTag]] = {photo_id: [] for photo_id in as_list(photo_ids)}
        with self._database.read() as connection:
            rows = figures(
                Narrowing(photos=list(found)), active_model(connection), hidden=everything
            ).c
            query = (
                select(
                    rows.photo_id,
                    TagRow.name,
                    _chinese(rows.source),
                    rows.probability,
                    rows.threshold,
                    rows.source,
                    Model.model_id,
                )
                .join(TagRow, TagRow.id == rows.tag_id)
                .outerjoin(ConceptRow, ConceptRow.tag_id == rows.tag_id)
                .outerjoin(Model, Model.id == rows.model_id)
            )
            for (
                photo_id,
                name,
                name_zh,
                probability,
                threshold,
                source,
                model,
            ) in connection.execute(query):
                found[photo_id].append(
                    PhotoTag(name, name_zh, probability, threshold, Source(source), model)
                )
        return {photo_id: _ordered(tags, once=not everything) for photo_id, tags in found.items()}

    def counts(self, limit: int | None = None) -> tuple[TagCount, ...]:
        """How many photos show each tag, whoever says so; the most frequent first."""
        with self._database.read() as connection:
            photos = _count(connection)
            named = (
                select(TagRow.id, TagRow.name, _chinese(None))
                .outerjoin(ConceptRow, ConceptRow.tag_id == TagRow.id)
                .where(among(TagRow.id, photos))
            )
            counts = [
                TagCount(TagRecord(*tag), photos[tag.id]) for tag in connection.execute(named)
            ]
        counts.sort(key=lambda count: (-count.photos, count.tag.name.lower()))
        return tuple(counts[:limit])

    def find(self, word: str) -> tuple[TagRecord, ...]:
        """The tags that a word names: one by its English name, several by a Chinese one."""
        named = or_(
            TagRow.name == word,
            TagRow.name_zh == word,
            ConceptRow.name_zh == word,
        )
        return self._records(named)

    def similar(self, word: str, limit: int = 5) -> tuple[TagRecord, ...]:
        """Tags whose names are spelt much like a word, the closest first."""
        by_name: dict[str, TagRecord] = {}
        for tag in self._records(None):
            by_name.setdefault(tag.name.lower(), tag)
            if tag.name_zh:
                by_name.setdefault(tag.name_zh, tag)
        close = difflib.get_close_matches(word.lower(), by_name, n=limit)
        return tuple({by_name[name].id: by_name[name] for name in close}.values())

    def _records(self, condition: Any) -> tuple[TagRecord, ...]:
        query = (
            select(TagRow.id, TagRow.name, _chinese(None))
            .outerjoin(ConceptRow, ConceptRow.tag_id == TagRow.id)
            .order_by(TagRow.name)
        )
        if condition is not None:
            query = query.where(condition)
        with self._database.read() as connection:
            return tuple(TagRecord(*row) for row in connection.execute(query))


def _count(connection: Connection) -> dict[int, int]:
    """Tag id → how many photos show it.

    Each group of sources is counted straight from the index on tags; tags of several groups are
    counted again, so that a photo counts once.
    """
    active = active_model(connection)
    photos: dict[int, int] = {}
    groups = ((Source.MODEL,), (Source.CONCEPT,), (Source.USER, Source.IMPORTED))
    several: set[int] = set()
    for group in groups:
        counted = _counted(connection, Narrowing(), active, group)
        several |= counted.keys() & photos.keys()
        photos |= counted
    if several:
        photos |= _counted(connection, Narrowing(tuple(several)), active, tuple(Source))
    return photos


def _counted(
    connection: Connection, narrowing: Narrowing, active: int | None, sources: Sequence[Source]
) -> dict[int, int]:
    rows = figures(narrowing, active, sources=sources).c
    query = (
        select(rows.tag_id, func.count(rows.photo_id.distinct()))
        .where(held(rows.photo_id))
        .group_by(rows.tag_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _chinese(source: Any) -> Any:
    """A tag's Chinese name; a concept's own one comes first for what the concept says."""
    vocabulary, concept = TagRow.name_zh, ConceptRow.name_zh
    if source is None:
        return func.coalesce(vocabulary, concept)
    return func.iif(
        source == Source.CONCEPT,
        func.coalesce(concept, vocabulary),
        func.coalesce(vocabulary, concept),
    )


def _ordered(tags: Sequence[PhotoTag], *, once: bool) -> tuple[PhotoTag, ...]:
    ordered = sorted(tags, key=lambda tag: (_RANK[tag.source], -tag.probability, tag.name))
    if not once:
        return tuple(ordered)
    first: dict[str, PhotoTag] = {}
    for tag in ordered:
        first.setdefault(tag.name, tag)
    return tuple(first.values())


def _need_photos(connection: Connection, photo_ids: Sequence[int]) -> None:
    known = set(
        as_list(as_ids(connection.execute(select(Photo.id).where(among(Photo.id, photo_ids)))))
    )
    if missing := [photo_id for photo_id in photo_ids if photo_id not in known]:
        raise NothingFound(f"no photo has the number {missing[0]}")


def _say(
    connection: Connection,
    photo_ids: Sequence[int],
    tag_id: int,
    source: Source,
    probability: float,
) -> None:
    """Write what people say; a user's word replaces the one before."""
    if not photo_ids:
        return
    connection.execute(
        delete(PhotoTagRow).where(
            PhotoTagRow.tag_id == tag_id,
            PhotoTagRow.source == source,
            among(PhotoTagRow.photo_id, photo_ids),
        )
    )
    connection.execute(
        insert(PhotoTagRow),
        [
            {
                "photo_id": photo_id,
                "tag_id": tag_id,
                "source": source,
                "model_id": None,
                "probability": probability,
            }
            for photo_id in dict.fromkeys(photo_ids)
        ],
    )
