"""Every check, one after the other, none of which writes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.checks.unfinished import photo_count
from photoindex.catalog.read_only import ReadOnly
from photoindex.config import Settings
from photoindex.errors import LibraryError
from photoindex.health import contents, database, derived, library_folder, machine
from photoindex.health import models as needed_models
from photoindex.health.reading import Look, Opened
from photoindex.health.records import Finding, Report, Verdict, problem
from photoindex.health.stored import check_analyses
from photoindex.health.vectors import check_vectors
from photoindex.health.watched import check_notices, check_watched
from photoindex.tagger import Progress, no_progress

_ATTEMPTS = 3


def examine(settings: Settings, quick: bool = False, progress: Progress = no_progress) -> Report:
    """Look at everything. Nothing is written, made or upgraded, whatever is found.

    quick: leave out what takes long: numbers inside embeddings and tokens, the index's checksum,
    SQLite's indexes, the GPU.
    """
    look = Look(settings, quick, progress)
    return Report(tuple(_findings(look)))


def _findings(look: Look) -> Iterator[Finding]:
    yield from library_folder.check_folder(look)
    if look.path.is_file():
        yield from library_folder.check_permissions(look)
        yield from library_folder.check_leftovers(look)
        yield from _of_database(look)
    else:
        yield from needed_models.check_models(look, None)
    yield from machine.check_packages()
    yield machine.check_faiss()
    yield machine.check_gpu(look)


def _of_database(look: Look) -> list[Finding]:
    """All again where somebody began to write meanwhile: what was read may be of two states."""
    for _ in range(_ATTEMPTS):
        reader = ReadOnly(look.path)
        try:
            found = list(_of_reader(look, reader))
        finally:
            reader.close()
        if not reader.has_changed():
            break
    return found


def _of_reader(look: Look, reader: ReadOnly) -> Iterator[Finding]:
    pages = database.check_pages(look, reader)
    yield pages
    if pages.verdict is Verdict.PROBLEM:
        return
    tables = database.check_tables(reader)
    yield tables
    if tables.verdict is not Verdict.OK:
        return
    opened = Opened(look, reader, Catalog(reader))
    yield from database.check_references(reader)
    used = used_models(opened)
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        (library_folder.SPACE, lambda: library_folder.check_space(look, _photos(opened))),
        ("derived tables", lambda: derived.check_derived(opened)),
        ("analyses", lambda: check_analyses(opened, needed_models.ids_here(look, opened))),
        (contents.PHOTOS, lambda: contents.check_photos(opened)),
        (contents.CONCEPTS, lambda: contents.check_concepts(opened)),
        ("vector index", lambda: check_vectors(opened, used)),
        (needed_models.MODEL, lambda: needed_models.check_models(look, opened)),
        ("watched folder", lambda: check_watched(opened)),
        ("inotify", lambda: check_notices(opened)),
    )
    for name, check in checks:
        yield from _guarded(name, check)


def used_models(opened: Opened) -> frozenset[str]:
    """The ids of the models whose vector index stays: the one in use and the one for indexing."""
    needed = needed_models.needed(opened.look.settings, opened)
    return frozenset(one.record.model_id for one in needed if one.record is not None)


def _photos(opened: Opened) -> int:
    with opened.database.read() as connection:
        return photo_count(connection)


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What one check found; what keeps it from looking is a finding as well."""
    try:
        yield from check()
    except LibraryError as error:
        yield problem(name, f"cannot be looked at: {error}", "see to that and look again")


@contextmanager
def opened_for_reading(look: Look) -> Iterator[Opened]:
    """A sound library of this version. Raises LibraryError."""
    reader = ReadOnly(look.path)
    try:
        yield Opened(look, reader, Catalog(reader))
    finally:
        reader.close()
