"""How values that SQLite has no type for are stored."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from photoindex.photo import FileStamp


def path_bytes(path: Path) -> bytes:
    """A path as the file system's own bytes, so that names that are no UTF-8 survive."""
    return os.fsencode(path)


def bytes_path(stored: bytes) -> Path:
    """The path that `path_bytes` stored."""
    return Path(os.fsdecode(stored))


def signed(number: int) -> int:
    """An unsigned 64-bit number (inodes, devices) in SQLite's signed one."""
    return number - (1 << 64) if number >= 1 << 63 else number


def unsigned(stored: int) -> int:
    """The number that `signed` stored."""
    return stored % (1 << 64)


def clock_text(moment: datetime | None) -> str | None:
    """A moment by a clock without zone; texts sort as the moments do."""
    return None if moment is None else moment.isoformat(" ", "microseconds")


def text_clock(stored: str | None) -> datetime | None:
    """The moment that `clock_text` stored."""
    return None if stored is None else datetime.fromisoformat(stored)


def utc_text(moment: datetime) -> str:
    """A moment with its zone, as UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def now_text() -> str:
    """This moment, as UTC."""
    return utc_text(datetime.now(UTC))


def stamp_columns(stamp: FileStamp) -> tuple[int, int, int, int]:
    """(size, mtime_ns, inode, device) as they are stored."""
    return stamp.size, stamp.mtime_ns, signed(stamp.inode), signed(stamp.device)


def columns_stamp(size: int, mtime_ns: int, inode: int, device: int) -> FileStamp:
    """The stamp that `stamp_columns` stored."""
    return FileStamp(size, mtime_ns, unsigned(inode), unsigned(device))


def range_under(folder: Path) -> tuple[bytes, bytes]:
    """(first, end): every path inside `folder`, and no other, sorts from first up to before end.

    A range of bytes needs no escaping, uses the key of paths, and keeps `/a/b` apart from
    `/a/bc`.
    """
    separator = os.fsencode(os.sep)
    first = os.fsencode(folder).rstrip(separator) + separator
    return first, first[:-1] + bytes([separator[0] + 1])
