"""Running the migration scripts. The only file that imports Alembic, and SQLAlchemy to run it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from photoindex.catalog.database import Database, advice, translated
from photoindex.errors import LibraryError


def run_scripts(database: Database, scripts: Path, revision: str) -> None:
    """Bring a database to a revision in one transaction: all of the way or nowhere.

    scripts: the folder of Alembic's scripts. Raises LibraryError.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    with _translated(database.path), contextlib.closing(database.connect()) as driver:
        # A rebuilt table would take its children with it. The pragma works outside transactions
        # only.
        driver.execute("PRAGMA foreign_keys = OFF")
        with engine_over(driver).connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            _check_references(connection, database.path)
            connection.commit()


def engine_over(driver: sqlite3.Connection) -> Engine:
    """SQLAlchemy on a connection that is open already, and is closed by whoever opened it."""
    return create_engine("sqlite+pysqlite://", creator=lambda: driver, poolclass=StaticPool)


def _check_references(connection: Connection, path: Path) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise LibraryError(
            f"{path}: a row of {broken[0]} points to a missing row of {broken[2]}, nothing was"
            " changed: restore the library from a backup"
        )


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """The same as `translated`, of errors that SQLAlchemy has wrapped, too."""
    with translated(path):
        try:
            yield
        except DBAPIError as error:
            raise LibraryError(f"{path}: {advice(error.orig)}") from error
