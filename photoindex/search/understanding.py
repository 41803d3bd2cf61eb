"""From a parsed query to what the catalog can answer: which words are tags, what is free text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import PhotoFilter, TagRecord
from photoindex.errors import QueryError
from photoindex.search.query import Query

_LONGEST_TAG = 6  # words
_JOINING = frozenset("a an the and , + & 和 与 及".split())
"""Words between tags that leave them tags; a preposition makes a phrase of them."""

_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_CHINESE_JOINING = frozenset("的和与及、，, ")
_LONGEST_CHINESE = 12  # characters
_PLURALS = (("ies", "y"), ("es", ""), ("s", ""))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look for.

    filter: what every hit meets; groups: tags asked for, each a choice of tag ids (a Chinese word
    may mean several tags); tags: all of them; concept: free text to be scored as an open-set
    concept, None where tags and filters say it all.
    """

    filter: PhotoFilter
    groups: tuple[tuple[int, ...], ...]
    tags: tuple[TagRecord, ...]
    concept: str | None


def understand(query: Query, catalog: Catalog, min_probability: float | None = None) -> Plan:
    """Find out what a query asks for.

    Free words that are all tags ("cat dog", "a cat and a dog", 猫) are asked as tags; otherwise
    the whole free text is one open-set concept, because "tabby cat on roof" means more than its
    words do. Quoted words are one: '"cat dog"' is a concept where no tag is called that.
    Raises QueryError for a `tag:` that the library has never heard of.
    """
    wanted = [_known(name, catalog) for name in query.tags]
    unwanted = [tag for name in query.not_tags for tag in _known(name, catalog)]
    spelled = _as_tags(query.text, catalog)
    concept = " ".join(query.text) if query.text and spelled is None else None
    groups = [*wanted, *(spelled or [])]
    return Plan(
        PhotoFilter(
            all_of=tuple(_ids(group) for group in groups),
            none_of=_ids(unwanted),
            after=query.after,
            before=query.before,
            folders=query.folders,
            min_probability=min_probability if groups else None,
        ),
        tuple(_ids(group) for group in groups),
        tuple(dict.fromkeys(tag for group in groups for tag in group)),
        concept,
    )


def tags_named_in(text: str, catalog: Catalog) -> tuple[tuple[TagRecord, ...], ...]:
    """The tags that a free text names, each a choice as a word may mean several."""
    words = text.split()
    found: list[tuple[TagRecord, ...]] = []
    at = 0
    while at < len(words):
        tags, length = _longest(words[at:], catalog)
        if tags:
            found.append(tags)
        at += max(length, 1)
    return tuple(dict.fromkeys(found))


def _as_tags(text: Sequence[str], catalog: Catalog) -> list[tuple[TagRecord, ...]] | None:
    """The tags that a free text consists of, or None where some of it is no tag."""
    groups: list[tuple[TagRecord, ...]] = []
    words = [part for word in text for part in _chinese_words(word, catalog)]
    while words:
        tags, length = _longest(words, catalog)
        if tags:
            groups.append(tags)
        elif words[0].casefold() not in _JOINING:
            return None
        del words[: max(length, 1)]
    return groups or None


def _chinese_words(word: str, catalog: Catalog) -> list[str]:
    """Chinese written without spaces, cut into the tags it consists of; anything else as it is.

    Raises QueryError where it says more: CLIP's text tower reads English.
    """
    if not _CHINESE.search(word) or _in_use(word, catalog):
        return [word]
    parts: list[str] = []
    at = 0
    while at < len(word):
        ends = range(min(len(word), at + _LONGEST_CHINESE), at, -1)
        end = next((end for end in ends if _in_use(word[at:end], catalog)), at + 1)
        part = word[at:end]
        if end == at + 1 and part not in _CHINESE_JOINING and not _in_use(part, catalog):
            raise QueryError(
                f'"{word}" holds words that are no tags here: free text is understood in English, '
                "Chinese words as tags"
            )
        if part not in _CHINESE_JOINING:
            parts.append(part)
        at = end
    return parts


def _longest(words: Sequence[str], catalog: Catalog) -> tuple[tuple[TagRecord, ...], int]:
    for length in range(min(_LONGEST_TAG, len(words)), 0, -1):
        tags = _called(" ".join(words[:length]).strip(",;"), catalog, in_use=True)
        if tags:
            return tags, length
    return (), 0


def _in_use(word: str, catalog: Catalog) -> tuple[TagRecord, ...]:
    """The tags that a word of free text stands for: no more those of former models alone."""
    return catalog.tags.find(word, in_use=True)


def _called(name: str, catalog: Catalog, in_use: bool = False) -> tuple[TagRecord, ...]:
    """The tags of a name, or else of the singular that an English plural may have."""
    spellings = [name]
    if name.isascii():
        spellings += [name[: -len(end)] + new for end, new in _PLURALS if name.endswith(end)]
    found = (catalog.tags.find(spelling, in_use) for spelling in spellings)
    return next((tags for tags in found if tags), ())


def _known(name: str, catalog: Catalog) -> tuple[TagRecord, ...]:
    tags = _called(name, catalog)
    if not tags:
        close = [tag.name for tag in catalog.tags.similar(name)]
        hint = f"; close to it: {', '.join(close)}" if close else ""
        raise QueryError(
            f'no tag "{name}" in this library{hint} (as free text, without "tag:", any words do)'
        )
    return tags


def _ids(tags: Sequence[TagRecord]) -> tuple[int, ...]:
    return tuple(tag.id for tag in tags)
