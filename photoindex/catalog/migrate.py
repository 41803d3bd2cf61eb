"""Bringing a database to the tables of this version; it usually has them, which is quick to see."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
from pathlib import Path

from photoindex.catalog.database import Database, translated
from photoindex.errors import LibraryError

REVISION = "0003"
"""The newest script in migrations/versions: what a database of this version carries."""

_log = logging.getLogger(__name__)


def upgrade(database: Database, revision: str = REVISION) -> None:
    """Run the migration scripts that a database lacks, all of them or none; usually there are none.

    A database with data in it is copied to `<name>.before-<revision>` first where the disk has
    room. Raises LibraryError when a newer version of photoindex made the database.
    """
    with database.read() as connection:
        stored = _stored_revision(connection)
        if stored is None:
            _refuse_foreign(connection, database.path)
    if stored == revision:
        return
    if stored is not None:
        _refuse_newer(stored, database.path)
        _back_up(database.path, revision)
    from photoindex.catalog.scripts import run_scripts  # costs the import of SQLAlchemy

    run_scripts(database, scripts_folder(), revision)


def scripts_folder() -> Path:
    """Where the migration scripts lie: in the installed package, or at the top of a checkout."""
    installed = Path(__file__).parent / "migrations"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "migrations"


def _stored_revision(connection: sqlite3.Connection) -> str | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables:
        raise LibraryError(f"{path} is a database of some other program: name another file")


def _refuse_newer(stored: str, path: Path) -> None:
    known = {script.name.partition("_")[0] for script in scripts_folder().glob("versions/*.py")}
    if stored not in known:
        raise LibraryError(
            f"{path} was made by a newer version of photoindex (its tables are {stored}, this"
            f" version knows up to {REVISION}): upgrade photoindex to open it"
        )


def _back_up(path: Path, revision: str) -> None:
    copy = path.with_name(f"{path.name}.before-{revision}")
    if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
        _log.warning("no room for a copy of %s before it is upgraded; going on without", path)
        return
    with translated(path):
        copy.touch(mode=0o600)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    _log.info("copied %s to %s before upgrading it", path, copy)
