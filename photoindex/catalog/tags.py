"""Tags: what people give and take, what photos show, and what a word means."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from photoindex.catalog.counting import count_shown
from photoindex.catalog.database import Database
from photoindex.catalog.figures import said_of, shown_on
from photoindex.catalog.ids import AMONG, as_list, listed
from photoindex.catalog.models import need_tag
from photoindex.catalog.records import PhotoTag, TagCount, TagRecord
from photoindex.errors import NothingFound, UsageError
from photoindex.photo import Source
from photoindex.tagger import AnyIds

_RANK = {Source.USER: 0, Source.IMPORTED: 1, Source.MODEL: 2, Source.CONCEPT: 2}

_TAG = "SELECT id FROM tags WHERE name = ?"
_NAMES = f"""
    SELECT tags.id, tags.name, tags.name_zh, concepts.name_zh
    FROM tags LEFT JOIN concepts ON concepts.tag_id = tags.id WHERE tags.id {AMONG}"""
_RECORDS = """
    SELECT tags.id, tags.name, coalesce(tags.name_zh, concepts.name_zh)
    FROM tags LEFT JOIN concepts ON concepts.tag_id = tags.id"""
_FIND = f"""{_RECORDS}
    WHERE tags.id IN (
        SELECT id FROM tags WHERE name = :word
        UNION SELECT id FROM tags WHERE name_zh = :word
        UNION SELECT tag_id FROM concepts WHERE name_zh = :word
    )
    AND (:all OR EXISTS (
        SELECT 1 FROM vocabulary JOIN models ON models.id = vocabulary.model_id
        WHERE vocabulary.tag_id = tags.id AND active
    ) OR EXISTS (SELECT 1 FROM concepts AS own WHERE own.tag_id = tags.id)
    OR EXISTS (SELECT 1 FROM photo_tags WHERE photo_tags.tag_id = tags.id AND probability > 0))
    ORDER BY tags.name"""
_MODELS = "SELECT id, model_id FROM models"
_KNOWN = f"SELECT id FROM photos WHERE id {AMONG}"
_TAKE_BACK = f"""
    DELETE FROM photo_tags WHERE tag_id = ? AND source = ? AND photo_id {AMONG}"""
_SAY = """
    INSERT INTO photo_tags (photo_id, tag_id, source, probability) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET probability = excluded.probability"""

_LONGEST = 200  # characters of a name


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
            row = connection.execute(_TAG, (name.strip(),)).fetchone()
            if row is None:
                raise NothingFound(f'no photo has a tag "{name}"')
            connection.execute(_TAKE_BACK, (row[0], Source.USER, listed(asked)))
            said = {one.photo_id for one in said_of(connection, asked) if one.tag_id == row[0]}
            _say(connection, sorted(said), row[0], Source.USER, 0.0)

    def of(self, photo_ids: AnyIds, everything: bool = False) -> dict[int, tuple[PhotoTag, ...]]:
        """The tags that photos show: the people's first, then the most probable, a name once.

        everything: every figure stored, shown or not, a name as often as it has sources.
        Every id asked for is a key.
        """
        found: dict[int, list[PhotoTag]] = {photo_id: [] for photo_id in as_list(photo_ids)}
        with self._database.read() as connection:
            said = (said_of if everything else shown_on)(connection, list(found))
            models = dict(connection.execute(_MODELS))
            named = listed({one.tag_id for one in said})
            names = {tag_id: rest for tag_id, *rest in connection.execute(_NAMES, (named,))}
        for one in said:
            name, *chinese = names[one.tag_id]
            if one.source is Source.CONCEPT:
                chinese.reverse()  # a concept's own name comes first for what the concept says
            found[one.photo_id].append(
                PhotoTag(
                    name,
                    next((word for word in chinese if word is not None), None),
                    one.probability,
                    one.threshold,
                    one.source,
                    None if one.model is None else models[one.model],
                )
            )
        return {photo_id: _ordered(tags, once=not everything) for photo_id, tags in found.items()}

    def counts(self, limit: int | None = None) -> tuple[TagCount, ...]:
        """How many photos show each tag, whoever says so; the most frequent first."""
        with self._database.read() as connection:
            photos = count_shown(connection)
            counts = [
                TagCount(TagRecord(*tag), photos[tag[0]])
                for tag in connection.execute(_RECORDS)
                if tag[0] in photos
            ]
        counts.sort(key=lambda count: (-count.photos, count.tag.name.lower()))
        return tuple(counts[:limit])

    def find(self, word: str, in_use: bool = False) -> tuple[TagRecord, ...]:
        """The tags that a word names: one by its English name, several by a Chinese one.

        in_use: only tags that the active model knows, a concept or people gave; not those that
        nothing but other models would say.
        """
        asked = {"word": word, "all": not in_use}
        with self._database.read() as connection:
            return tuple(TagRecord(*row) for row in connection.execute(_FIND, asked))

    def similar(self, word: str, limit: int = 5) -> tuple[TagRecord, ...]:
        """Tags whose names are spelt much like a word, the closest first."""
        import difflib  # for words that are no tags alone

        with self._database.read() as connection:
            rows = connection.execute(f"{_RECORDS} ORDER BY tags.name").fetchall()
        by_name: dict[str, TagRecord] = {}
        for tag in (TagRecord(*row) for row in rows):
            by_name.setdefault(tag.name.lower(), tag)
            if tag.name_zh:
                by_name.setdefault(tag.name_zh, tag)
        close = difflib.get_close_matches(word.lower(), by_name, n=limit)
        return tuple({by_name[name].id: by_name[name] for name in close}.values())


def _ordered(tags: Sequence[PhotoTag], *, once: bool) -> tuple[PhotoTag, ...]:
    ordered = sorted(tags, key=lambda tag: (_RANK[tag.source], -tag.probability, tag.name))
    if not once:
        return tuple(ordered)
    first: dict[str, PhotoTag] = {}
    for tag in ordered:
        first.setdefault(tag.name, tag)
    return tuple(first.values())


def _need_photos(connection: sqlite3.Connection, photo_ids: Sequence[int]) -> None:
    known = {row[0] for row in connection.execute(_KNOWN, (listed(photo_ids),))}
    if missing := [photo_id for photo_id in photo_ids if photo_id not in known]:
        raise NothingFound(f"no photo has the number {missing[0]}")


def _say(
    connection: sqlite3.Connection,
    photo_ids: Sequence[int],
    tag_id: int,
    source: Source,
    probability: float,
) -> None:
    """Write what people say; a user's word replaces the one before."""
    connection.executemany(_SAY, [(one, tag_id, source, probability) for one in photo_ids])


def usable_name(name: str) -> str | None:
    """A tag's name with its spaces made one each; None where it can be no tag's name."""
    clean = " ".join(name.split())
    return clean if clean and clean.isprintable() and len(clean) <= _LONGEST else None


def checked_name(name: str) -> str:
    """`usable_name`. Raises UsageError where it can be no tag's name."""
    clean = usable_name(name)
    if clean is None:
        raise UsageError(f"a tag is a name of 1 to {_LONGEST} printable characters")
    return clean
