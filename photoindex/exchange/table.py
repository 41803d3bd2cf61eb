"""Photos and their shown tags as a table for spreadsheets: CSV after RFC 4180, in UTF-8.

One row a photo and shown tag; a photo that shows none has one row with empty cells for the tag.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and a name may come
from anywhere. Such texts get an apostrophe in front, and so do those that begin with one: whoever
takes one leading apostrophe off every text has what was there. Numbers stay as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from photoindex.exchange.export import ExportedPhoto, ExportedTag
from photoindex.terminal.wording import shown

HEADINGS = (
    *("path", "files", "hash", "format", "bytes", "width", "height"),
    *("taken_at", "camera", "latitude", "longitude"),
    *("tag", "zh", "probability", "threshold", "source", "model"),
)
_BYTE_ORDER_MARK = "\ufeff"  # without it, spreadsheets take UTF-8 for something else
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")


def write_table(photos: Iterable[ExportedPhoto], out: TextIO) -> int:
    """Write the rows of photos under headings. Returns how many photos there were.

    out: opened with newline="".
    """
    out.write(_BYTE_ORDER_MARK)
    writer = csv.writer(out)
    writer.writerow(HEADINGS)
    count = 0
    for photo in photos:
        writer.writerows(rows(photo))
        count += 1
    return count


def rows(exported: ExportedPhoto) -> Iterator[Sequence[str]]:
    """The rows of one photo."""
    photo, facts, metadata = exported.photo, exported.photo.facts, exported.photo.facts.metadata
    about = (
        # Bytes that are no UTF-8 as \xNN; the JSON lines hold them exactly.
        _guarded(shown(photo.files[0]) if photo.files else ""),
        str(len(photo.files)),
        facts.hash,
        _guarded(facts.format),
        str(facts.size),
        str(facts.width),
        str(facts.height),
        metadata.taken_at.isoformat() if metadata.taken_at else "",
        _guarded(metadata.camera or ""),
        _number(metadata.latitude),
        _number(metadata.longitude),
    )
    tags = _once(exported.tags)
    if not tags:
        yield (*about, *[""] * 6)
    for tag in (item.tag for item in tags):
        yield (
            *about,
            _guarded(tag.name),
            _guarded(tag.name_zh or ""),
            f"{tag.probability:.4f}",
            "" if tag.threshold is None else f"{tag.threshold:.4f}",
            tag.source.value,
            _guarded(tag.model_id or ""),
        )


def _once(tags: Sequence[ExportedTag]) -> list[ExportedTag]:
    """The shown tags, each by the first of its sources: people's words come before figures."""
    first: dict[str, ExportedTag] = {}
    for item in tags:
        if item.shown:
            first.setdefault(item.tag.name, item)
    return list(first.values())


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_GUARDED) else text


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
