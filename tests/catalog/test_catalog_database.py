"""The database file: migrations, who may read it, and what is said when it cannot serve."""

from __future__ import annotations

import logging
import multiprocessing
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_model import MODEL, VOCABULARY, WIDTH, analysed

from photoindex.catalog import database as database_module
from photoindex.catalog import migrate
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.database import Database
from photoindex.catalog.journal import network_file_system
from photoindex.catalog.migrate import REVISION
from photoindex.catalog.schema import Base
from photoindex.catalog.scripts import engine_over
from photoindex.errors import LibraryError


def differences(database: Database) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine_over(database.connect()).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def schema_of(path: Path) -> dict[str, list[str]]:
    """Each table's and index' statement as its words, whatever the order of its constraints."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: sorted(re.split(r"[\s(),]+", sql)) for name, sql in rows}


@pytest.fixture
def database(path: Path) -> Database:
    return Database(path)


def test_migrating_an_empty_file_gives_the_tables_of_the_models(database: Database) -> None:
    migrate.upgrade(database)
    assert differences(database) == []


def test_the_newest_script_is_the_revision_of_the_models() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrate.scripts_folder()))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_migrations_make_exactly_what_the_models_say(database: Database, tmp_path: Path) -> None:
    migrate.upgrade(database)
    direct = Database(tmp_path / "direct.db")
    Base.metadata.create_all(engine_over(direct.connect()))
    migrated = schema_of(database.path)
    del migrated["alembic_version"]
    assert migrated == schema_of(direct.path)


def test_a_library_of_the_first_revision_is_upgraded_with_its_data(path: Path) -> None:
    old = Database(path)
    migrate.upgrade(old, "0001")
    with old.write() as connection:
        for statement in (
            "INSERT INTO photos (id, hash, size, width, height, format, added_at)"
            " VALUES (5, 'h', 1, 2, 3, 'PNG', '2024-01-01 00:00:00.000000')",
            "INSERT INTO files (path, photo_id, size, mtime_ns, inode, device, state)"
            " VALUES (CAST('/p/1' AS BLOB), 5, 1, 2, 3, 4, 'present')",
            "INSERT INTO tags (id, name) VALUES (1, 'mine'), (2, 'not this')",
            "INSERT INTO photo_tags (photo_id, tag_id, source, probability)"
            " VALUES (5, 1, 'user', 1), (5, 2, 'user', 0)",
        ):
            connection.execute(statement)
    old.close()
    with Catalog.open(path) as catalog:
        photo = catalog.photos.at(Path("/p/1"))
        assert photo is not None and (photo.id, photo.facts.format) == (5, "PNG")
        assert [tag.name for tag in catalog.tags.of([5])[5]] == ["mine"]
    assert differences(Database(path)) == []
    copy = path.with_name(f"{path.name}.before-{REVISION}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT hash FROM photos").fetchall() == [("h",)]


def test_a_broken_reference_stops_the_upgrade_and_changes_nothing(path: Path) -> None:
    old = Database(path)
    migrate.upgrade(old, "0001")
    old.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO photo_tags (photo_id, tag_id, source, probability)"
            " VALUES (1, 1, 'user', 1)"
        )
    with pytest.raises(LibraryError, match="photo_tags"):
        Catalog.open(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'unscored'"
        ).fetchall()


def test_a_library_of_a_newer_version_is_refused(path: Path) -> None:
    Catalog.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LibraryError, match="newer version"):
        Catalog.open(path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(LibraryError, match="other program"):
        Catalog.open(other)


def test_opening_an_up_to_date_library_does_not_import_alembic(path: Path) -> None:
    Catalog.open(path).close()
    code = (
        "import sys; from pathlib import Path; from photoindex.catalog.catalog import Catalog;"
        f"Catalog.open(Path({str(path)!r})).close();"
        "sys.exit(any(name in sys.modules for name in ('alembic', 'torch', 'faiss')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nobody_else_can_read_a_library(path: Path) -> None:
    with Catalog.open(path) as catalog:
        catalog.set_setting("a", "b")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0oops"])
def test_a_file_that_is_no_library_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "library.db"
    path.write_bytes(content)
    with pytest.raises(LibraryError, match=r"library\.db: is no photoindex library"):
        Catalog.open(path)
    assert path.read_bytes() == content


def test_a_damaged_library_says_so(path: Path) -> None:
    with Catalog.open(path) as catalog:
        catalog.models.register(MODEL, "small", WIDTH, VOCABULARY)
        catalog.analyses.record([analysed(f"{n}", f"/{n}") for n in range(50)], MODEL)
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(LibraryError, match="damaged"), Catalog.open(path) as catalog:
        list(catalog.files.under(Path("/")))
        catalog.status()


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LibraryError):
        Catalog.open(tmp_path / "file" / "library.db")
    with pytest.raises(LibraryError, match="cannot be opened"):
        Catalog.open(tmp_path)


def test_a_writer_that_waited_too_long_says_what_to_do(path: Path) -> None:
    with Catalog.open(path, patience=0.1) as catalog:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryError, match="another process"):
            catalog.set_setting("a", "b")
        assert catalog.setting("a") is None  # readers do not wait
        other.execute("ROLLBACK")
        catalog.set_setting("a", "b")
        other.close()


def test_a_full_disk_says_what_to_do(path: Path) -> None:
    with Catalog.open(path) as catalog:
        database = catalog._database
        with database.read() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
        with pytest.raises(LibraryError, match="free some space"), database.write() as connection:
            connection.execute(f"PRAGMA max_page_count = {pages}")
            connection.execute("INSERT INTO settings VALUES ('a', zeroblob(1000000))")


def test_a_library_that_was_taken_away_is_not_written_into(path: Path) -> None:
    with Catalog.open(path) as catalog:
        away = path.parent.rename(path.parent.with_name("away"))
        with pytest.raises(LibraryError, match="not there any more: bring it"):
            catalog.set_setting("a", "b")
        away.rename(path.parent)
        catalog.set_setting("a", "c")
    with Catalog.open(path) as catalog:
        assert catalog.setting("a") == "c"


def test_a_network_file_system_is_told_from_the_mount_table(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "20 1 0:19 / / rw - ext4 /dev/root rw\n"
        "21 20 0:20 / /mnt/my\\040nas rw shared:1 - nfs4 nas:/p rw\n"
        "22 21 0:21 / /mnt/my\\040nas/local rw - ext4 /dev/sdb rw\n"
    )
    assert network_file_system(Path("/mnt/my nas/p/library.db"), mounts) == "nfs4"
    assert network_file_system(Path("/mnt/my nas/local/library.db"), mounts) is None
    assert network_file_system(Path("/mnt/my nasty/library.db"), mounts) is None
    assert network_file_system(Path("/p"), tmp_path / "absent") is None


def test_on_a_network_file_system_the_log_is_a_rollback_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database_module, "network_file_system", lambda _path: "nfs4")
    with caplog.at_level(logging.WARNING), Catalog.open(path) as catalog:
        catalog.set_setting("a", "b")
        with catalog._database.read() as connection:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == "delete" and "nfs4" in caplog.text and "local disk" in caplog.text


def _write_photos(path: Path, start: int) -> None:
    with Catalog.open(path) as catalog:
        for number in range(start, start + 40):
            item = analysed(f"{number}", f"/{number}", tags={"cat": 0.9})
            catalog.analyses.record([item], MODEL)


def _read_photos(path: Path) -> None:
    with Catalog.open(path) as catalog:
        for _ in range(60):
            catalog.status()
            catalog.tags.counts()
            list(catalog.analyses.stored(MODEL))


def test_processes_and_threads_read_and_write_at_once(path: Path, catalog: Catalog) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_write_photos, args=(path, 0)),
        context.Process(target=_write_photos, args=(path, 1000)),
        context.Process(target=_read_photos, args=(path,)),
    ]
    problems: list[BaseException] = []

    def tag() -> None:
        try:
            for number in range(40):
                catalog.tags.tag([], f"tag {number}")
                catalog.status()
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=tag) for _ in range(2)]
    for one in (*processes, *threads):
        one.start()
    for one in (*processes, *threads):
        one.join()
    assert [process.exitcode for process in processes] == [0, 0, 0] and problems == []
    assert catalog.status().photos == 80


def _open(path: Path) -> None:
    Catalog.open(path).close()


def test_two_processes_may_make_the_same_library(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert differences(Database(path)) == []
