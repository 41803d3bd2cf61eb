"""What a search says to the process that is to answer it: one line of JSON, a row of fields.

Both are of one version, or do not talk. This module imports little: whoever asks imports the rest
while the other side is searching already.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import astuple, dataclass
from pathlib import Path

from photoindex.config import Settings
from photoindex.search.options import SearchOptions
from photoindex.search.rank import Rank
from photoindex.version import __version__

PROTOCOL = 1
LONGEST_REQUEST = 64 * 1024  # bytes
MOST_HITS = 1000
"""More than that is no quick answer: such a search is everyone's own."""

FileIdentity = tuple[int, int, int, int]
"""Device, inode, size, mtime_ns."""


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
    like: FileIdentity | None
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


def plain_file(path: Path) -> FileIdentity:
    """What a file is, wherever it is seen from. Raises OSError for all that is no plain file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("no plain file")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def greeting() -> bytes:
    """What the answering process says first, without the end of the line."""
    return json.dumps({"photoindex": __version__, "protocol": PROTOCOL}).encode("ascii")


def request(wanted: Wanted) -> bytes:
    """A search as one line, without its end."""
    row = [PROTOCOL, __version__, *astuple(wanted)]
    return json.dumps(row, default=str).encode("ascii")  # of a path, odd bytes stay as escapes


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
            None if like is None else tuple(like),
            *settings,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed("no request") from error
    if not _is_sound(wanted):
        raise Malformed("a request that asks for nothing known")
    return wanted


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
