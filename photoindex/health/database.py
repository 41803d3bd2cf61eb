"""The database as SQLite sees it: its tables' version, its pages, its references."""

from __future__ import annotations

from collections.abc import Iterator

from photoindex.catalog.checks import lost_rows
from photoindex.catalog.migrate import REVISION, scripts_folder
from photoindex.errors import LibraryError
from photoindex.health.reading import Look, ReadOnly
from photoindex.health.records import Finding, Mend, Verdict, note, ok, problem
from photoindex.terminal.wording import count

TABLES, PAGES, REFERENCES = "tables", "pages", "references"
_RESTORE = 'restore a backup ("photoindex restore FILE --force"), or move it away and index again'
_HAS_REVISION = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
_REVISION = "SELECT version_num FROM alembic_version"


def check_pages(look: Look, database: ReadOnly) -> Finding:
    """Whether SQLite finds every page as it should be; quickly: without comparing indexes."""
    pragma = "quick_check" if look.quick else "integrity_check"
    look.progress("checking every page", 0, None)
    try:
        with database.view() as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}(10)")]
    except LibraryError as error:
        found = [str(error)]
    if found == ["ok"]:
        return ok(PAGES, f"{pragma}: all well")
    return problem(PAGES, f"the database is damaged: {'; '.join(found)}", _RESTORE)


def check_tables(database: ReadOnly) -> Finding:
    """Whether its tables are those of this version."""
    with database.view() as connection:
        (there,) = connection.execute(_HAS_REVISION).fetchone()
        row = connection.execute(_REVISION).fetchone() if there else None
    if row is None:
        return problem(TABLES, "it is no library of photoindex", "name another with --library")
    stored = str(row[0])
    if stored == REVISION:
        return ok(TABLES, f"revision {stored}")
    known = {script.name.partition("_")[0] for script in scripts_folder().glob("versions/*.py")}
    if stored in known:
        return note(
            TABLES,
            f"revision {stored}, this version has {REVISION}: the rest is not looked at",
            "the next command upgrades it, after a copy where there is room; --repair does now",
            Mend.UPGRADE,
        )
    return problem(
        TABLES,
        f"revision {stored}, made by a newer version: this one knows up to {REVISION}",
        "upgrade photoindex",
    )


def check_references(database: ReadOnly) -> Iterator[Finding]:
    """Whether rows belong to rows that are there."""
    with database.view() as connection:
        broken: dict[tuple[str, str], int] = {}
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            broken[table, parent] = broken.get((table, parent), 0) + 1
        lost = lost_rows(connection)
    kept = {pair: number for pair, number in broken.items() if pair[0] not in lost}
    if lost:
        told = ", ".join(f"{number:,} of {table}" for table, number in lost.items())
        yield problem(
            REFERENCES,
            f"rows that belong to nothing: {told}",
            "they can be made again where they matter: --repair deletes them",
            Mend.LOST_ROWS,
        )
    for (table, parent), number in kept.items():
        told = f"{count(number, 'row')} of {table} without one of {parent}"
        yield Finding(REFERENCES, Verdict.PROBLEM, told, _RESTORE)
    if not lost and not kept:
        yield ok(REFERENCES, "every row belongs to one that is there")
