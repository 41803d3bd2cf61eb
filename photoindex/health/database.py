"""The database as SQLite sees it: its tables' version, its pages, its references."""

from __future__ import annotations

from collections.abc import Iterator

from photoindex.catalog.checks.pages import damaged_pages, has_tables, revision
from photoindex.catalog.checks.references import broken_references, lost_rows
from photoindex.catalog.database import is_damage
from photoindex.catalog.migrate import REVISION, scripts_folder
from photoindex.catalog.read_only import ReadOnly
from photoindex.errors import LibraryError
from photoindex.health.reading import Look
from photoindex.health.records import Finding, Mend, Verdict, note, ok, problem
from photoindex.terminal.wording import count

TABLES, PAGES, REFERENCES = "tables", "pages", "references"
_RESTORE = 'restore a backup ("photoindex restore FILE --force"), or move it away and index again'


def check_pages(look: Look, database: ReadOnly) -> Finding:
    """Whether SQLite finds every page as it should be; quickly: without comparing indexes."""
    check = "quick_check" if look.quick else "integrity_check"
    look.progress("checking every page", 0, None)
    try:
        with database.view() as connection:
            found = damaged_pages(connection, check)
    except LibraryError as error:
        if not is_damage(error.__cause__):
            return problem(PAGES, f"cannot be looked at: {error}", "see to that and look again")
        found = [str(error)]
    if not found:
        return ok(PAGES, f"{check}: all well")
    return problem(PAGES, f"the database is damaged: {'; '.join(found)}", _RESTORE)


def check_tables(database: ReadOnly) -> Finding:
    """Whether its tables are those of this version."""
    with database.view() as connection:
        stored, begun = revision(connection), not has_tables(connection)
    if begun:
        return note(
            TABLES,
            "none yet: the library was only begun",
            'run "photoindex index FOLDER": it makes them and goes on',
        )
    if stored is None:
        return problem(TABLES, "it is no library of photoindex", "name another with --library")
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
        broken = broken_references(connection)
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
