"""How values that SQLite has no type for are stored."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, DateTime, LargeBinary
from sqlalchemy.types import TypeDecorator


class PathColumn(TypeDecorator[Path]):
    """A path as the file system's own bytes, so that names that are no UTF-8 survive."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Path | bytes | None, dialect: Any) -> bytes | None:
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: bytes | None, dialect: Any) -> Path | None:
        return None if value is None else Path(os.fsdecode(value))


class UnsignedColumn(TypeDecorator[int]):
    """An unsigned 64-bit number (inodes, devices) in SQLite's signed one."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:
        return value - (1 << 64) if value is not None and value >= 1 << 63 else value

    def process_result_value(self, value: int | None, dialect: Any) -> int | None:
        return value % (1 << 64) if value is not None else None


class MomentColumn(TypeDecorator[datetime]):
    """A moment with its zone, stored as UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def range_under(folder: Path) -> tuple[bytes, bytes]:
    """(first, end): every path inside `folder`, and no other, sorts from first up to before end.

    A range of bytes needs no escaping, uses the index on paths, and keeps `/a/b` apart from
    `/a/bc`.
    """
    separator = os.fsencode(os.sep)
    first = os.fsencode(folder).rstrip(separator) + separator
    return first, first[:-1] + bytes([separator[0] + 1])
