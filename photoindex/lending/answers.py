"""What a search is told by the process that answers it: one line of JSON, records as rows."""

from __future__ import annotations

import json
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import Any

from photoindex.errors import NothingFound, PhotoindexError, QueryError, UsageError
from photoindex.lending.requests import Malformed
from photoindex.photo import Metadata, PhotoFacts, PhotoRecord, PhotoTag, Source
from photoindex.search.results import Evidence, Hit, SearchResult

_ERRORS = {error.__name__: error for error in (NothingFound, QueryError, UsageError)}


def found(result: SearchResult) -> bytes:
    """What was found, as one line without its end."""
    return _line({"found": astuple(result)})


def failed(error: PhotoindexError) -> bytes | None:
    """Why a search cannot be answered by anyone; None for what the asker had better see itself."""
    name = type(error).__name__
    return _line({"error": [name, str(error)]}) if name in _ERRORS else None


def declined(reason: str) -> bytes:
    """That the asker has to search itself."""
    return _line({"declined": reason})


def parse_answer(line: bytes) -> SearchResult | PhotoindexError | None:
    """What was found, or why nothing can be; None where the asker has to search itself.

    Raises Malformed.
    """
    try:
        answer = json.loads(line)
        if "error" in answer:
            name, message = answer["error"]
            return _ERRORS[name](message)
        if "found" not in answer:
            return None
        hits, tags, concept, count, below = answer["found"]
        return SearchResult(tuple(map(_hit, hits)), tuple(tags), concept, count, below)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Malformed("no answer") from error


def _hit(row: Any) -> Hit:
    photo, score, relevant, tags, evidence = row
    return Hit(_photo(photo), score, relevant, tuple(map(_tag, tags)), Evidence(*evidence))


def _photo(row: Any) -> PhotoRecord:
    number, (content, size, width, height, kind, metadata), files = row
    taken_at, *others = metadata
    known = Metadata(None if taken_at is None else datetime.fromisoformat(taken_at), *others)
    return PhotoRecord(
        number, PhotoFacts(content, size, width, height, kind, known), tuple(map(Path, files))
    )


def _tag(row: Any) -> PhotoTag:
    name, name_zh, probability, threshold, source, model_id = row
    return PhotoTag(name, name_zh, probability, threshold, Source(source), model_id)


def _line(message: Any) -> bytes:
    return json.dumps(message, default=_plain).encode("ascii")


def _plain(value: object) -> str:
    """Paths as texts, whose odd bytes JSON keeps as escapes; times to the last digit."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an answer")
