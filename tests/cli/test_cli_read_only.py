"""A library that may be read but not written, as on a disk mounted read-only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typed import Command

from photoindex.catalog import migrate
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.database import Database
from photoindex.catalog.read_only import Unwritable
from photoindex.errors import LibraryError

QUESTIONS = (
    ("search", "tag:ours", "--paths"),
    ("search", "a lion on the grass", "--json"),
    ("tags", "--json"),
    ("failures", "--json"),
    ("concepts", "--json"),
    ("export", "--format", "csv"),
)


@pytest.fixture
def tagged(photoindex: Command, pictures: Path) -> Command:
    photoindex("tag", pictures / "zoo/lions.jpg", "ours")
    return photoindex


@contextmanager
def read_only(library: Path) -> Iterator[None]:
    """Nobody may write into the folder or its files meanwhile."""
    files = [path for path in library.iterdir() if path.is_file()]
    for path in files:
        path.chmod(0o400)
    library.chmod(0o500)
    try:
        yield
    finally:
        library.chmod(0o700)
        for path in files:
            path.chmod(0o600)


def state(library: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in library.iterdir()}


def test_it_answers_as_if_it_could_be_written(tagged: Command, pictures: Path) -> None:
    answers = [tagged.spawn(*words) for words in QUESTIONS]
    before = state(tagged.library)
    with read_only(tagged.library):
        assert [tagged.heeding_permissions(*words) for words in QUESTIONS] == answers
        assert tagged.heeding_permissions("status").code == 0
        assert state(tagged.library) == before
    assert answers[0].lines == [str(pictures / "zoo/lions again.jpg")]


def test_it_answers_with_what_a_killed_process_left_in_the_log(
    tagged: Command, pictures: Path, tmp_path: Path
) -> None:
    left = Command(tmp_path / "left")
    with Catalog.open(tagged.library / "catalog.db") as catalog:
        photo = catalog.photos.at(pictures / "zoo/zebra.jpg")
        assert photo is not None
        catalog.tags.tag([photo.id], "logged")
        shutil.copytree(tagged.library, left.library)
    assert (left.library / "catalog.db-wal").stat().st_size
    with read_only(left.library):
        found = left.heeding_permissions("search", "tag:logged", "--paths")
    assert found.lines == [str(pictures / "zoo/zebra.jpg")], found


def test_without_a_vector_index_one_is_made_in_memory(tagged: Command) -> None:
    words = ("search", "a lion on the grass", "--json")
    answer = tagged.spawn(*words)
    for path in tagged.library.glob("vectors-*"):
        path.unlink()
    with read_only(tagged.library):
        found = tagged.heeding_permissions(*words)
    assert found.out == answer.out
    assert "cannot be saved" in found.err
    assert not list(tagged.library.glob("vectors-*"))


@pytest.mark.parametrize("what", ["tag", "add-concept", "index", "watch"])
def test_what_would_write_says_that_it_cannot(
    tagged: Command, pictures: Path, tmp_path: Path, what: str
) -> None:
    concepts = tmp_path / "concepts.json"
    concepts.write_text('{"big cat": ["a lion"]}', encoding="utf-8")
    (tmp_path / "new").mkdir()
    shutil.copy(pictures / "zoo/lions.jpg", tmp_path / "new/one.jpg")
    words = {
        "tag": (pictures / "zoo/lions.jpg", "yours"),
        "add-concept": (concepts,),
        "index": (tmp_path / "new",),
        "watch": (tmp_path / "new",),
    }[what]
    with read_only(tagged.library):
        refused = tagged.heeding_permissions(what, *words)
    assert refused.code == 3, refused
    assert "writable" in refused.err.splitlines()[-1]
    assert "Traceback" not in refused.err


def test_an_older_one_says_that_it_has_to_be_upgraded(empty: Command) -> None:
    database = Database(empty.library / "catalog.db")
    migrate.upgrade(database, "0001")
    database.close()
    with read_only(empty.library):
        refused = empty.heeding_permissions("search", "cat")
    assert refused.code == 3 and "writable" in refused.err and refused.err.count("\n") == 1


def test_what_somebody_else_writes_meanwhile_is_never_half_an_answer(tagged: Command) -> None:
    path = tagged.library / "catalog.db"
    with closing(Unwritable(path)) as reader:
        catalog = Catalog(reader)
        assert catalog.status().photos
        with Catalog.open(path) as other:
            other.set_setting("new", "one")
            with pytest.raises(LibraryError, match="try again"):
                catalog.status()
    with closing(Unwritable(path)) as again:
        assert Catalog(again).setting("new") == "one"
