"""The query language: free text mixed with filters.

tabby cat on roof            free text
"snow leopard" tag:zoo       quotes keep words together
tag:cat -tag:dog 猫          tags, English or Chinese
after:2024-05 before:2025    when the photo was taken: year, month or day
in:~/Pictures/Rome           a folder and all below it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from photoindex.errors import QueryError
from photoindex.paths import absolute

_TERM = re.compile(
    r'(?P<field>-?[A-Za-z]+:)(?:"(?P<in_quotes>[^"]*)"|(?P<value>[^\s"]*))'
    r'|(?P<minus>-)?"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+)'
)
_UNWANTED = re.compile(r"-(?=[^\W\d_])(.+)")
_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
FIELDS = ("tag:", "-tag:", "after:", "before:", "in:")


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query.

    text: the free words in order, quoted phrases as one entry; after is inclusive, before not.
    """

    text: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    folders: tuple[Path, ...] = ()


def parse(text: str) -> Query:
    """Read a query. Raises QueryError that names the term and what is expected."""
    if text.count('"') % 2:
        raise QueryError("a quotation mark is not closed: quote both ends")
    words: list[str] = []
    found: dict[str, list[str]] = {name: [] for name in FIELDS}
    negated = False
    for match in _TERM.finditer(text):
        word = _unwanted(match, negated)
        negated = match["bare"] == "NOT"
        if word is not None:
            found["-tag:"].append(_value("-tag:", word))
        if word is not None or negated or match["bare"] == "AND":
            continue
        if match["bare"] == "OR":
            raise QueryError("OR is not known: search for one, then for the other")
        spelled = match["field"] or ""
        field = spelled.lower()
        value = match["in_quotes"] or match["value"] or match["quoted"] or match["bare"] or ""
        if field in found:
            found[field].append(_value(field, value))
        elif field.lstrip("-")[:-1] in _LIKELY_FIELDS:
            raise QueryError(f'no filter "{field}": known are {", ".join(FIELDS)}')
        elif (spelled + value).strip():
            words.append((spelled + value).strip())
    if negated:
        raise QueryError("NOT needs a word behind it: for example cat NOT dog")
    _check_text(*words, *found["tag:"], *found["-tag:"])
    after = [_day("after:", value) for value in found["after:"]]
    before = [_day("before:", value) for value in found["before:"]]
    return Query(
        tuple(words),
        tuple(found["tag:"]),
        tuple(found["-tag:"]),
        max(after, default=None),
        min(before, default=None),
        tuple(absolute(value) for value in found["in:"]),
    )


def with_absolute_folders(text: str) -> str | None:
    """The same query, to be parsed by a process with another working directory or home.

    None where a folder's absolute path cannot be written in a query.
    """
    parts: list[str] = []
    at = 0
    for match in _TERM.finditer(text):
        value = (match["in_quotes"] or match["value"] or "").strip()
        if (match["field"] or "").lower() != "in:" or not value:
            continue
        folder = str(absolute(value))
        if '"' in folder or folder != folder.strip():
            return None
        parts += [text[at : match.start()], f'in:"{folder}"']
        at = match.end()
    return "".join([*parts, text[at:]])


def _unwanted(match: re.Match[str], negated: bool) -> str | None:
    """The tag that `-dog`, `-"hot dog"` or a word behind NOT asks not to be there."""
    if match["minus"] or (negated and match["quoted"] is not None):
        return match["quoted"]
    if negated and match["bare"]:
        return match["bare"]
    dashed = _UNWANTED.fullmatch(match["bare"] or "")
    return dashed[1] if dashed else None


_LIKELY_FIELDS = {"tags", "since", "until", "from", "to", "date", "folder", "dir", "path", "camera"}


def _check_text(*words: str) -> None:
    """Only a folder's name may have bytes that are no text."""
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError as error:
            raise QueryError(
                f'"{word}" is no UTF-8 text: only in:FOLDER may have other bytes'
            ) from error


def _value(field: str, value: str) -> str:
    if not value.strip():
        raise QueryError(f'"{field}" needs a value: for example {_EXAMPLES[field]}')
    return value.strip()


_EXAMPLES = {
    "tag:": "tag:cat",
    "-tag:": "-tag:dog",
    "after:": "after:2024-05",
    "before:": "before:2025",
    "in:": "in:~/Pictures",
}


def _day(field: str, value: str) -> datetime:
    """The first moment of a year, month or day."""
    match = _DAY.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(part) if part else 1 for part in match.groups())
        return datetime.combine(date(year, month, day), time())
    except ValueError as error:
        raise QueryError(
            f'"{field}{value}" is no date: write a year, a month or a day, as in {field}2024-05-17'
        ) from error
