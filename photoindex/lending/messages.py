"""What a search and the process that answers it say to each other: a line of JSON each.

Records travel as rows of their fields, in order: the two are of one version, or do not talk.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from photoindex.config import Settings
from photoindex.errors import NothingFound, PhotoindexError, QueryError, UsageError
from photoindex.photo import FileStamp, Metadata, PhotoFacts, PhotoRecord, PhotoTag, Source
from photoindex.search.options import SearchOptions
from photoindex.search.rank import Rank
from photoindex.search.results import Evidence, Hit, SearchResult
from photoindex.version import __version__

PROTOCOL = 1
LONGEST_REQUEST = 64 * 1024  # bytes
MOST_HITS = 1000
"""More than that is no quick answer: such a search is everyone's own."""
_ERRORS = {error.__name__: error for error in (NothingFound, QueryError, UsageError)}


class Malformed(Exception):
    """A message that this version does not write."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search that another process is to answer.

    like: what the example picture's file is to the asking process; the rest are the settings that
    an answer depends on, and the time zone that files' times are read in.
    """

    query: str
    options: SearchOptions
    like: FileStamp | None
    models: str
    device: str
    precision: str
    zone: str | None

    @classmethod
    def of(cls, settings: Settings, query: str, options: SearchOptions) -> Wanted:
        """A search under some settings. Raises OSError for an example that is no plain file."""
        return cls(
            query,
            options,
            None if options.like is None else plain_file(options.like),
            str(settings.models),
            settings.device,
            settings.precision,
            os.environ.get("TZ"),
        )

    def suits(self, settings: Settings) -> bool:
        """Whether a process with these settings finds what the asking one would."""
        return (
            self.models == str(settings.models)
            and self.device in ("auto", settings.device)
            and self.precision in ("auto", settings.precision)
            and self.zone == os.environ.get("TZ")
        )


def plain_file(path: Path) -> FileStamp:
    """What a file is, wherever it is seen from. Raises OSError for all that is no plain file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("no plain file")
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


def greeting() -> bytes:
    """What the answering process says first."""
    return _line({"photoindex": __version__, "protocol": PROTOCOL})


def request(wanted: Wanted) -> bytes:
    """A search as one line."""
    return _line([PROTOCOL, __version__, *astuple(wanted)])


def parse_request(line: bytes) -> Wanted:
    """Raises Malformed for whatever `request` of this version does not write."""
    try:
        protocol, version, query, options, like, *settings = json.loads(line)
        if [protocol, version] != [PROTOCOL, __version__]:
            raise Malformed("another version")
        limit, example, rank, least, everything = options
        wanted = Wanted(
            query,
            SearchOptions(
                limit, None if example is None else Path(example), Rank(rank), least, everything
            ),
            None if like is None else FileStamp(*like),
            *settings,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed("no request") from error
    if not _is_sound(wanted):
        raise Malformed("a request that asks for nothing known")
    return wanted


def found(result: SearchResult) -> bytes:
    """What was found, as one line."""
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


def _is_sound(wanted: Wanted) -> bool:
    options = wanted.options
    texts = (wanted.query, wanted.models, wanted.device, wanted.precision)
    least = options.min_probability
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(wanted.zone, str | None)
        and type(options.limit) is int
        and 1 <= options.limit <= MOST_HITS
        and isinstance(options.everything, bool)
        and (least is None or (type(least) in (int, float) and 0 <= least <= 1))
        and (options.like is None) == (wanted.like is None)
        and (options.like is None or options.like.is_absolute())
    )


def _hit(row: Any) -> Hit:
    photo, score, relevant, tags, evidence = row
    return Hit(_photo(photo), score, relevant, tuple(map(_tag, tags)), Evidence(*evidence))


def _photo(row: Any) -> PhotoRecord:
    number, (hash_, size, width, height, format_, metadata), files = row
    taken_at, *others = metadata
    known = Metadata(None if taken_at is None else datetime.fromisoformat(taken_at), *others)
    facts = PhotoFacts(hash_, size, width, height, format_, known)
    return PhotoRecord(number, facts, tuple(map(Path, files)))


def _tag(row: Any) -> PhotoTag:
    name, name_zh, probability, threshold, source, model_id = row
    return PhotoTag(name, name_zh, probability, threshold, Source(source), model_id)


def _line(message: Any) -> bytes:
    return json.dumps(message, default=_plain).encode("ascii") + b"\n"


def _plain(value: object) -> str:
    """Paths as texts, whose odd bytes JSON keeps as escapes; times to the last digit."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a message")
