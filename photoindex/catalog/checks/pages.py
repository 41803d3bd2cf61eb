"""Whether the database can be read at all: its pages, and whose tables it holds."""

from __future__ import annotations

import sqlite3

_HAS_REVISION = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
_HAS_TABLES = "SELECT count(*) FROM sqlite_master"
_REVISION = "SELECT version_num FROM alembic_version"
_TOLD = 10  # faults


def damaged_pages(connection: sqlite3.Connection, check: str) -> list[str]:
    """What SQLite finds wrong with the pages, in its words, the first few.

    check: "integrity_check", or "quick_check" that compares no indexes.
    """
    found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({_TOLD})")]
    return [] if found == ["ok"] else found


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether there is anything in the database, whoever made it."""
    (there,) = connection.execute(_HAS_TABLES).fetchone()
    return bool(there)


def revision(connection: sqlite3.Connection) -> str | None:
    """The revision of the tables; None where they are no library's."""
    (there,) = connection.execute(_HAS_REVISION).fetchone()
    row = connection.execute(_REVISION).fetchone() if there else None
    return None if row is None else str(row[0])
