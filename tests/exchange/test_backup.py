"""`photoindex backup` and `restore`: one file, whole, and a library that is the same after it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from small_library import MODEL, Place, analysed

from photoindex.catalog import migrate
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.database import Database
from photoindex.catalog.records import NewConcept
from photoindex.locks import hold
from photoindex.tagger import Concept, LabelEmbeddings


@pytest.fixture
def filled(place: Place) -> Place:
    """Two photos, a tag of the user's, one taken off, and a concept."""
    place.put("a.jpg", {"cat": 0.9, "dog": 0.3}, by_user=("mine",))
    place.put("b.jpg", {"dog": 0.8})
    with place.catalog() as catalog:
        ids = catalog.analyses.photo_ids(MODEL)
        _, embeddings = catalog.analyses.embeddings_of(MODEL, ids)
        catalog.tags.untag([int(ids[1])], "dog")
        labels = LabelEmbeddings(("grin",), embeddings[:1], ids[:1] * 0 + 1)
        probabilities = embeddings[:, 0] * 0 + 0.75
        catalog.concepts.add(
            [NewConcept(Concept("grin", ("a wide smile",)), labels, MODEL, ids, probabilities)]
        )
    return place


@pytest.fixture
def elsewhere(filled: Place, tmp_path: Path) -> Place:
    """The same photos, and no library yet."""
    return Place(filled.folder, tmp_path / "elsewhere" / "library")


@pytest.fixture
def made(filled: Place, tmp_path: Path) -> Path:
    """A backup."""
    filled.run("backup", tmp_path / "a backup")
    return tmp_path / "a backup"


def everything(place: Place) -> list[object]:
    """All that an export says, but for when it was made."""
    records = place.run("export", "--embeddings").records
    return [{k: v for k, v in record.items() if k != "exported_at"} for record in records]


def test_what_was_backed_up_comes_back(filled: Place, elsewhere: Place, made: Path) -> None:
    elsewhere.run("restore", made)
    assert everything(elsewhere) == everything(filled)
    with filled.catalog() as before, elsewhere.catalog() as after:
        ids = before.analyses.photo_ids(MODEL)
        ((_, old),) = before.analyses.stored(MODEL, ids)
        ((_, new),) = after.analyses.stored(MODEL, ids)
        assert old.tokens is not None
        assert new.tokens is not None
        assert (old.tokens.values == new.tokens.values).all()
        assert (old.tokens.scales == new.tokens.scales).all()


def test_a_backup_says_what_is_in_it(filled: Place, tmp_path: Path) -> None:
    document = filled.run("backup", tmp_path / "b", "--json").document
    assert (document["photos"], document["model"], document["model_id"]) == (2, "small", MODEL)
    assert document["file"]["path"] == str(tmp_path / "b")


def test_restoring_says_which_model_is_missing(elsewhere: Place, made: Path) -> None:
    outcome = elsewhere.run("restore", made, "--json")
    assert outcome.document["model"] == "small"
    assert outcome.document["model_here"] is False
    assert "its model small is not on this machine" in outcome.err


def test_a_backup_is_its_owners_alone_and_nothing_is_left_beside_it(
    filled: Place, tmp_path: Path
) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    filled.run("backup", target / "b")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert stat.S_IMODE((target / "b").stat().st_mode) == 0o600


def test_any_sqlite_tool_reads_a_backup(made: Path) -> None:
    with closing(sqlite3.connect(f"file:{made}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM photos").fetchone() == (2,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_is_replaced_only_when_told_to(filled: Place, made: Path) -> None:
    before = made.read_bytes()
    assert "--force" in filled.run("backup", made, code=2).err
    assert made.read_bytes() == before
    filled.put("c.jpg")
    filled.run("backup", made, "--force")
    assert made.read_bytes() != before


@pytest.mark.parametrize("name", ["catalog.db", "catalog.db-wal", "."])
def test_the_library_itself_is_never_written_over(filled: Place, name: str) -> None:
    before = everything(filled)
    filled.run("backup", filled.library / name, "--force", code=2)
    assert everything(filled) == before


def test_a_folder_that_is_not_there_is_named(filled: Place, tmp_path: Path) -> None:
    assert "make it first" in filled.run("backup", tmp_path / "none" / "b", code=2).err


@pytest.fixture
def writer(filled: Place) -> Iterator[list[str]]:
    """Adds pairs of photos for as long as the test runs, both or none of each pair."""
    stop, written = threading.Event(), []

    def write() -> None:
        with Catalog.open(filled.database) as catalog:
            while not stop.is_set():
                pair = [filled.folder / f"{len(written)}-{half}.jpg" for half in "ab"]
                catalog.analyses.record([analysed(path, {"cat": 0.9}) for path in pair], MODEL)
                written.append(pair[0].name)

    thread = threading.Thread(target=write)
    thread.start()
    yield written
    stop.set()
    thread.join()


def test_a_backup_is_one_moment_while_others_write(
    filled: Place, elsewhere: Place, tmp_path: Path, writer: list[str]
) -> None:
    for number in range(3):
        begun = len(writer)
        while len(writer) < begun + 5:
            time.sleep(0.01)
        document = filled.run("backup", tmp_path / f"b{number}", "--json").document
        photos = document["photos"]
        assert photos % 2 == 0  # no half pair
        assert photos >= 2 * (begun + 5)
        elsewhere.run("restore", tmp_path / f"b{number}", "--force")
        assert len(everything(elsewhere)) == 3 + photos  # the library, a folder, a concept


def test_a_library_is_replaced_only_when_told_to(filled: Place, made: Path) -> None:
    filled.put("c.jpg")
    before = everything(filled)
    assert "--force" in filled.run("restore", made, code=2).err
    assert everything(filled) == before
    filled.run("restore", made, "--force")
    assert len(everything(filled)) == len(before) - 1
    assert {path.name for path in filled.library.iterdir()} <= {
        *("catalog.db", "catalog.db-wal", "catalog.db-shm", "watch.lock")
    }


def test_a_damaged_library_is_replaced_with_its_log(filled: Place, made: Path) -> None:
    before = everything(filled)
    filled.database.write_bytes(b"SQLite format 3\0" + b"\xff" * 9000)
    filled.database.with_name("catalog.db-wal").write_bytes(b"\xff" * 9000)
    filled.run("status", code=3)
    filled.run("restore", made, "--force")
    assert everything(filled) == before


def test_a_watched_library_is_not_replaced(filled: Place, made: Path) -> None:
    before = everything(filled)
    with hold(filled.library / "watch.lock"):
        assert "already watched by process" in filled.run("restore", made, "--force", code=3).err
    assert everything(filled) == before


def test_a_library_that_another_process_has_open_is_not_replaced(filled: Place, made: Path) -> None:
    opened = (
        "import sys; from pathlib import Path; from photoindex.catalog.catalog import Catalog\n"
        "with Catalog.open(Path(sys.argv[1])) as catalog:\n"
        "    catalog.status(); print(flush=True); sys.stdin.read()"
    )
    before = everything(filled)
    other = subprocess.Popen(
        [sys.executable, "-c", opened, filled.database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert "stop it first" in filled.run("restore", made, "--force", code=3).err
    finally:
        other.communicate()
    assert everything(filled) == before
    filled.run("restore", made, "--force")


def flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: flip(file, 5000),
        lambda file: flip(file, file.stat().st_size // 2),
        lambda file: flip(file, -70),
        lambda file: os.truncate(file, file.stat().st_size // 2),
        lambda file: os.truncate(file, file.stat().st_size - 3),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\xff\xd8 a photo"),
        lambda file: file.unlink(),
    ],
    ids=["page", "middle", "seal", "half", "end", "empty", "other", "missing"],
)
def test_a_backup_that_is_not_whole_is_refused(filled: Place, made: Path, spoil: object) -> None:
    before = everything(filled)
    spoil(made)  # type: ignore[operator]
    outcome = filled.run("restore", made, "--force", code=3)
    assert str(made) in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert everything(filled) == before
    assert not list(filled.library.glob(".restoring*"))


def sealed(database: Path, target: Path, **other: object) -> Path:
    """A backup put together by hand: the database, the seal, the checksum of both."""
    raw = database.read_bytes()
    seal = {
        "format": 1,
        "version": "9.9",
        "made_at": "2026-01-02T03:04:05+00:00",
        "photos": 2,
        "model": None,
        "model_id": None,
        "bytes": len(raw),
    }
    raw += b"\nphotoindex backup " + json.dumps(seal | other).encode() + b"\n"
    checksum = hashlib.blake2b(raw, digest_size=32).hexdigest().encode()
    target.write_bytes(raw + checksum + b"\n")
    return target


def test_a_newer_backup_is_refused(filled: Place, elsewhere: Place, tmp_path: Path) -> None:
    file = sealed(filled.database, tmp_path / "b", format=2)
    assert "newer version of photoindex (9.9)" in elsewhere.run("restore", file, code=3).err
    elsewhere.run("restore", sealed(filled.database, tmp_path / "b"))
    assert everything(elsewhere) == everything(filled)


def test_an_older_library_is_upgraded(filled: Place, elsewhere: Place, tmp_path: Path) -> None:
    """What the first version could hold of the same library, but for the figures."""
    older = Database(tmp_path / "older.db")
    migrate.upgrade(older, "0001")
    older.close()
    with closing(sqlite3.connect(older.path)) as connection:
        connection.execute("ATTACH ? AS filled", (os.fspath(filled.database),))
        for table in "photos files models tags vocabulary analyses image_tokens".split():
            described = connection.execute(f"PRAGMA filled.table_info({table})").fetchall()
            columns = ", ".join(f'"{column[1]}"' for column in described)
            connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM filled.{table}"
            )
        connection.commit()
        connection.execute("DETACH filled")
        connection.execute("PRAGMA journal_mode = delete")
    elsewhere.run("restore", sealed(older.path, tmp_path / "b"))
    with filled.catalog() as before, elsewhere.catalog() as after:
        ids = before.analyses.photo_ids(MODEL)
        assert after.analyses.photo_ids(MODEL).tolist() == ids.tolist()
        assert after.photos.many(ids) == before.photos.many(ids)
        _, old = next(before.analyses.stored(MODEL))
        _, new = next(after.analyses.stored(MODEL))
        assert (new.embeddings == old.embeddings).all()
    elsewhere.put("new.jpg", {"cat": 0.9})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM photos WHERE id = 1", "missing"),
        ("UPDATE alembic_version SET version_num = '9999'", "newer version"),
        ("DROP TABLE alembic_version", "other program"),
    ],
)
def test_a_database_that_is_no_library_of_this_version_is_refused(
    filled: Place, elsewhere: Place, tmp_path: Path, change: str, says: str
) -> None:
    with closing(sqlite3.connect(filled.database)) as connection:
        connection.execute(change)
        connection.commit()
        connection.execute("PRAGMA journal_mode = delete")
    outcome = elsewhere.run("restore", sealed(filled.database, tmp_path / "b"), code=3)
    assert says in outcome.err
    assert str(tmp_path / "b") in outcome.err
    assert not elsewhere.database.exists()


def test_ending_a_backup_leaves_nothing(filled: Place, tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    slow = (
        "import os, signal, sys\n"
        "from photoindex.exchange import backup\n"
        "backup.check_integrity = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from photoindex.cli.app import main\n"
        "main()"
    )
    words = ["--library", filled.library, "backup", target / "b"]
    ended = subprocess.run([sys.executable, "-c", slow, *words], capture_output=True)
    assert ended.returncode == 143, ended.stderr
    assert not list(target.iterdir())


def test_a_bare_database_is_no_backup(filled: Place, elsewhere: Place, tmp_path: Path) -> None:
    shutil.copy(filled.database, tmp_path / "copy.db")
    assert "no backup" in elsewhere.run("restore", tmp_path / "copy.db", code=3).err
    assert not elsewhere.database.exists()
