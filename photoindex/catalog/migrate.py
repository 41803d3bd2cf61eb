"""Bringing a database to the tables of this version. The only file that imports Alembic."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
from pathlib import Path

from sqlalchemy import Connection

from photoindex.catalog.database import Database, translated
from photoindex.catalog.schema import REVISION
from photoindex.errors import LibraryError

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
    with translated(database.path), database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # A rebuilt table would take its children with it. The pragma works outside transactions
        # only, and the connection goes back to a pool.
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            writer = connection.execution_options(photoindex_writes=True)
            with writer.begin():
                _run_scripts(writer, revision)
                _check_references(writer, database.path)
        finally:
            driver.execute("PRAGMA foreign_keys = ON")


def scripts_folder() -> Path:
    """Where the migration scripts lie: in the installed package, or at the top of a checkout."""
    installed = Path(__file__).parent / "migrations"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "migrations"


def _stored_revision(connection: Connection) -> str | None:
    tables = {name for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def _refuse_foreign(connection: Connection, path: Path) -> None:
    if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
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
    copy.touch(mode=0o600)
    with (
        translated(path),
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    _log.info("copied %s to %s before upgrading it", path, copy)


def _run_scripts(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _check_references(connection: Connection, path: Path) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise LibraryError(
            f"{path}: a row of {broken[0]} points to a missing row of {broken[2]}, nothing was"
            " changed: restore the library from a backup"
        )
