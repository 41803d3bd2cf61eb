"""Mending what can be made again, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.checks import derived
from photoindex.catalog.checks.analyses import can_be_made_again, damaged, forget
from photoindex.catalog.checks.references import drop_lost
from photoindex.catalog.database import Database
from photoindex.catalog.moments import settle
from photoindex.config import Settings
from photoindex.exchange.writing import file_errors
from photoindex.health import library_folder, vectors
from photoindex.health.examination import examine, opened_for_reading, used_models
from photoindex.health.models import ids_here
from photoindex.health.reading import WATCH_LOCK, Look
from photoindex.health.records import Mend, Mended, Report
from photoindex.lending.lender import LOCK as SEARCH_LOCK
from photoindex.locks import hold
from photoindex.tagger import Progress, no_progress
from photoindex.terminal.wording import count
from photoindex.vectors.cache import VectorCache
from photoindex.vectors.index_file import sidecar_of


def repair(settings: Settings, quick: bool = False, progress: Progress = no_progress) -> Report:
    """Examine, mend what can be mended, and examine again.

    Each thing is mended in one transaction. Raises LibraryError, with nothing changed, while a
    watcher runs and there is something to mend.
    """
    look = Look(settings, quick, progress)
    before = examine(settings, quick, progress)
    due = {finding.mend for finding in before.findings if finding.mend is not None}
    if not due:
        return before
    mended: list[Mended] = []
    report = before
    with hold(settings.library / WATCH_LOCK), file_errors(settings.library):
        while due:
            mended += [Mended(mend, _MENDS[mend](look)) for mend in Mend if mend in due]
            report = examine(settings, quick, progress)
            done = {one.mend for one in mended}
            due = {one.mend for one in report.findings if one.mend is not None} - done
    return Report(report.findings, tuple(mended))


@contextmanager
def _writing(look: Look) -> Iterator[sqlite3.Connection]:
    """One transaction: all of a thing is mended, or nothing. Raises LibraryError."""
    database = Database(look.path)
    database.before_commit = settle
    try:
        with database.write() as connection:
            yield connection
    finally:
        database.close()


def _permissions(look: Look) -> str:
    return library_folder.make_private(look.folder)


def _leftovers(look: Look) -> str:
    left = library_folder.leftovers(look.folder)  # first: what this process holds looks in use
    if not (look.folder / SEARCH_LOCK).exists():
        return library_folder.clear_leftovers(left)
    with hold(look.folder / SEARCH_LOCK, "served"):  # nobody may begin to answer meanwhile
        return library_folder.clear_leftovers(left)


def _upgrade(look: Look) -> str:
    Catalog.open(look.path).close()
    return "the library was upgraded"


def _lost_rows(look: Look) -> str:
    with _writing(look) as connection:
        return f"{count(drop_lost(connection), 'row')} that belonged to nothing deleted"


def _rebuilt(
    rebuild: Callable[[sqlite3.Connection, Progress], None], told: str
) -> Callable[[Look], str]:
    """A mend that makes something derived again, wholly."""

    def mend(look: Look) -> str:
        with _writing(look) as connection:
            rebuild(connection, look.progress)
        return told

    return mend


def _tags(look: Look) -> str:
    photos = 0
    with _writing(look) as connection:
        for model in derived.models(connection):
            unreadable = derived.unreadable_tags(connection, model, look.progress)
            derived.refill_tags(connection, model, unreadable)
            photos += len(unreadable)
    return f"the tags of {count(photos, 'photo')} were filled in"


def _concept_rows(look: Look) -> str:
    with _writing(look) as connection:
        rows = derived.wrong_concept_rows(connection)
        derived.forget_concept_rows(connection, rows)
    return f"{count(len(rows), 'row')} of concepts dropped: the next index run scores them again"


def _analyses(look: Look) -> str:
    with opened_for_reading(look) as opened:  # long: no writer waits meanwhile
        here = ids_here(look, opened)
        with opened.database.view() as connection:
            found = list(damaged(connection, not look.quick, look.progress))
    with _writing(look) as connection:
        dropped = forget(connection, list(can_be_made_again(connection, found, here)))
    return f'analyses of {count(dropped, "photo")} dropped: "photoindex index" makes them again'


def _old_vectors(look: Look) -> str:
    with opened_for_reading(look) as opened:
        files = vectors.old_files(opened, used_models(opened))
    for path in sorted(files, key=lambda path: path.suffix != ".json"):  # the voucher first
        path.unlink(missing_ok=True)
    return f"deleted: {', '.join(path.name for path in files)}"


def _vectors(look: Look) -> str:
    with opened_for_reading(look) as opened:
        broken = vectors.broken_files(opened, used_models(opened))
    with Catalog.open(look.path) as catalog:
        cache = VectorCache(look.folder, catalog.analyses)
        for model_id in broken:
            path = cache.path(model_id)
            sidecar_of(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            cache.open(model_id, look.progress)
    return f"made again: {', '.join(cache.path(model_id).name for model_id in broken)}"


_MENDS: Mapping[Mend, Callable[[Look], str]] = {
    Mend.PERMISSIONS: _permissions,
    Mend.LEFTOVERS: _leftovers,
    Mend.UPGRADE: _upgrade,
    Mend.LOST_ROWS: _lost_rows,
    Mend.ANALYSED: _rebuilt(
        derived.rebuild_analysed, "which photos are analysed was written again"
    ),
    Mend.TAGS: _tags,
    Mend.POSTINGS: _rebuilt(derived.rebuild_postings, "tags were written again, tag by tag"),
    Mend.CONCEPT_ROWS: _concept_rows,
    Mend.TIMES: _rebuilt(derived.rebuild_times, "times and files of photos were written again"),
    Mend.ANALYSES: _analyses,
    Mend.OLD_VECTORS: _old_vectors,
    Mend.VECTORS: _vectors,
}
