"""Whatever is done to files between two looks: what is known follows them, what is moved unread."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from photoindex import Library, Settings
from photoindex.errors import NothingFound

PICTURES = Path(__file__).parents[2] / "photoindex" / "demo" / "pictures"


class Openings(FileSystemEventHandler):
    """Which files below a folder are opened, by whatever process, as the kernel tells of it."""

    def __init__(self) -> None:
        self.names: SimpleQueue[str] = SimpleQueue()

    def on_opened(self, event: FileSystemEvent) -> None:
        self.names.put(Path(os.fsdecode(event.src_path)).name)

    @contextmanager
    def below(self, folder: Path) -> Iterator[list[str]]:
        """The names of the files that are opened meanwhile, filled in at the end."""
        names = list[str]()
        observer = Observer()
        observer.schedule(self, str(folder), recursive=True, event_filter=[FileOpenedEvent])
        observer.start()
        try:
            yield names
            last = folder / "the last one"
            last.touch()
            while (name := self.names.get(timeout=10)) != last.name:
                names.append(name)
            last.unlink()
        finally:
            observer.stop()
            observer.join()


@pytest.fixture
def openings() -> Openings:
    return Openings()


def test_a_folder_that_was_moved_is_not_read(
    library: Library, folder: Path, openings: Openings
) -> None:
    (folder / "cut off.jpg").write_bytes((folder / "lions.jpg").read_bytes()[:700])
    library.index([folder])
    library.tag([folder / "lions.jpg"], "favourite")
    (folder / "2019" / "zoo").mkdir(parents=True)
    for file in [path for path in folder.iterdir() if path.is_file()]:
        file.rename(folder / "2019" / "zoo" / file.name)
    (folder / "2019").rename(folder / "2020")
    with openings.below(folder) as opened:
        tally = library.index([folder])
    assert (tally.moved, tally.analysed, tally.linked, tally.deleted, tally.failed) == (9, *[0] * 4)
    assert opened == []
    moved = folder / "2020" / "zoo" / "lions.jpg"
    assert "favourite" in [tag.name for tag in library.tags_of(moved)]
    (failure,) = library.failures()
    assert failure.path == folder / "2020" / "zoo" / "cut off.jpg"


def test_what_comes_from_another_disk_is_read_once(
    library: Library, folder: Path, tmp_path: Path, openings: Openings
) -> None:
    library.index([folder])
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))  # new inodes, the same times
    shutil.rmtree(folder)
    folder.mkdir()
    shutil.copy(PICTURES / "home" / "dog.jpg", elsewhere / "new.jpg")
    with openings.below(elsewhere) as opened:
        tally = library.index([folder, elsewhere])
    assert (tally.analysed, tally.linked, tally.deleted) == (1, 8, 8)
    assert sorted(opened) == sorted(path.name for path in elsewhere.iterdir())


def test_a_file_moved_from_one_watched_folder_to_another_is_not_read(
    library: Library, folder: Path, tmp_path: Path, openings: Openings
) -> None:
    second = tmp_path / "a second folder"
    second.mkdir()
    library.index([folder, second])
    for name in ("lions.jpg", "zebra.jpg"):
        (folder / name).rename(second / name)
    with openings.below(tmp_path) as opened:
        assert library.index([folder, second]).moved == 2
        (second / "zebra.jpg").rename(folder / "striped.jpg")
        assert library.index([folder, second]).moved == 1
    assert [name for name in opened if name.endswith(".jpg")] == []
    assert library.photo(second / "lions.jpg").files == (second / "lions.jpg",)


def test_files_that_change_names_are_not_read(
    library: Library, folder: Path, openings: Openings
) -> None:
    library.index([folder])
    ids = {path.name: library.photo(path).id for path in folder.iterdir()}
    first, second, third, *_ = sorted(ids)
    for old, new in ((first, "x"), (second, first), ("x", second), (third, "last.jpg")):
        (folder / old).rename(folder / new)
    with openings.below(folder) as opened:
        assert library.index([folder]).moved == 3
    assert opened == []
    assert library.photo(folder / first).id == ids[second]
    assert library.photo(folder / second).id == ids[first]
    assert library.photo(folder / "last.jpg").id == ids[third]


def test_a_look_that_finds_nothing_new_writes_nothing(
    open_library: Callable[..., Library], folder: Path
) -> None:
    with open_library() as library:
        library.index([folder])
        with closing(sqlite3.connect(library.settings.library / "catalog.db")) as other:
            before = other.execute("PRAGMA data_version").fetchone()
            with open_library() as again:
                again.index([folder])
            assert other.execute("PRAGMA data_version").fetchone() == before
            library.tag([folder / "lions.jpg"], "favourite")
            assert other.execute("PRAGMA data_version").fetchone() != before


def test_progress_counts_the_files_of_all_folders(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    second = tmp_path / "a second folder"
    second.mkdir()
    (folder / "lions.jpg").rename(second / "lions.jpg")
    told: list[tuple[str, int, int | None]] = []
    library.index([folder, second], lambda *what: told.append(what))
    counted = [(done, total) for what, done, total in told if what == "analysing"]
    assert counted[0] == (0, 8) and counted[-1] == (8, 8)
    assert [done for done, _ in counted] == sorted(done for done, _ in counted)


def test_a_look_that_is_stopped_takes_nothing_for_gone(library: Library, folder: Path) -> None:
    library.index([folder])
    (folder / "lions.jpg").rename(folder / "simba.jpg")
    stop = threading.Event()

    def stop_at_once(what: str, done: int, total: int | None) -> None:
        stop.set()

    tally = library.index([folder], stop_at_once, stop)
    assert (tally.deleted, tally.moved) == (0, 0)
    assert library.index([folder]).moved == 1


# Anything that may happen to a few files in a few folders.

NAMES = ("a.jpg", "b.jpg", "sub/a.jpg", "sub/b.jpg", "sub 2/a.jpg", "other/c.jpg")
FOLDERS = ("sub", "sub 2", "other")
CONTENTS = [
    (PICTURES / "zoo" / name).read_bytes()
    for name in ("lions.jpg", "panda.webp", "penguins.jpg", "zebra.jpg")
]


def swap(one: Path, other: Path) -> None:
    aside = one.with_name(".aside")
    one.rename(aside)
    try:
        other.rename(one)
        aside.rename(other)
    except FileNotFoundError:
        aside.rename(one)


DEEDS: dict[str, Callable[[Path, Path], object]] = {
    "rename": lambda one, other: one.rename(other),
    "delete": lambda one, other: one.unlink(),
    "copy": lambda one, other: shutil.copyfile(one, other),
    "copy with its time": lambda one, other: shutil.copy2(one, other),
    "link": lambda one, other: other.hardlink_to(one),
    "touch": lambda one, other: os.utime(one),
    "swap": swap,
    "move the folder": lambda one, other: one.parent.rename(other.parent),
    "swap the folders": lambda one, other: swap(one.parent, other.parent),
    "delete the folder": lambda one, other: shutil.rmtree(one.parent),
}
names = st.sampled_from(NAMES)
writes = st.tuples(st.sampled_from(CONTENTS), names)
deeds = st.tuples(st.sampled_from(sorted(DEEDS)), names, names)


@pytest.fixture(scope="module")
def shared_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("shared")
    chosen = Settings(library=folder / "library", models=folder / "models", model="sketch")
    with Library.open(chosen) as library:
        yield library


@settings(max_examples=40, deadline=None)
@given(st.lists(writes, min_size=2), st.lists(st.lists(deeds | writes, min_size=1), max_size=3))
def test_every_file_is_known_by_what_is_in_it(
    shared_library: Library, first: list[tuple], rounds: list[list[tuple]]
) -> None:
    top = shared_library.settings.library.parent / "photos"
    shutil.rmtree(top, ignore_errors=True)
    for steps in (first, *rounds):
        for folder in FOLDERS:
            (top / folder).mkdir(parents=True, exist_ok=True)
        for step in steps:
            carry_out(top, step)
        shared_library.index([top])
        there = {path for path in top.rglob("*.jpg") if path.is_file()}
        for path in there:
            content = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
            photo = shared_library.photo(path)
            assert photo.facts.hash == content
            assert path in photo.files and {*photo.files} <= there
        for path in {top / name for name in NAMES} - there:
            with pytest.raises(NothingFound):
                shared_library.photo(path)


def carry_out(top: Path, step: tuple) -> None:
    """Do something to the files if it can be done at all."""
    with contextlib.suppress(OSError, shutil.SameFileError):
        if isinstance(step[0], bytes):
            (top / step[1]).write_bytes(step[0])
        elif "folder" not in step[0] or top not in ((top / step[1]).parent, (top / step[2]).parent):
            DEEDS[step[0]](top / step[1], top / step[2])
