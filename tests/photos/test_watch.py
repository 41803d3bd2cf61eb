"""Watching real folders: what is told, what is not, and what happens when the ground moves."""

import ctypes
import errno
import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers import inotify_c
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

from photoindex.photos.changes import Changes
from photoindex.photos.inotify import FolderWatches
from photoindex.photos.walk import Scan
from photoindex.photos.watch import watch

# Folders are watched again under new names; pytest undoes the filter that keeps this quiet.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")

PICTURE = b"\xff\xd8\xff picture"
PATIENCE = 30.0  # seconds until a test gives up


def put(path: Path, content: bytes = PICTURE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class Follower:
    """Follows the changes as a library would, and so knows which files there should be."""

    def __init__(self, folders: list[Path], excludes: list[str], polling: bool) -> None:
        self.folders, self.excludes = folders, excludes
        self.files: set[Path] = set()
        self.offline: set[Path] = set()
        self.seen: list[Changes] = []
        self.stop = threading.Event()
        self._news = threading.Condition()
        self._changes = watch(
            folders, excludes, stop=self.stop, polling=polling, settle=0.15, poll=0.2
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.until(lambda: bool(self.seen))

    def _run(self) -> None:
        for changes in self._changes:
            with self._news:
                self._apply(changes)
                self.seen.append(changes)
                self._news.notify_all()

    def _apply(self, changes: Changes) -> None:
        for old, new in changes.moved:
            self.files.discard(old)
            self.files.add(new)
        for path in changes.gone:
            self.files -= {file for file in self.files if file.is_relative_to(path)}
        self.files |= changes.touched
        assert changes.rescan <= set(self.folders)
        for folder in changes.rescan:
            found = Scan(folder, self.excludes)
            files = {item.path for item in found}
            if folder in found.unreadable:
                self.offline.add(folder)
                continue
            self.offline.discard(folder)
            self.files = {file for file in self.files if not file.is_relative_to(folder)} | files

    def until(self, holds: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(holds, PATIENCE), (self.files, self.seen)

    def until_quiet(self, folder: Path) -> None:
        """Until everything that was done before this call must have been told of."""
        mark = put(folder / f"mark-{time.monotonic_ns()}.jpg")
        self.until(lambda: mark in self.files)
        mark.unlink()
        self.until(lambda: mark not in self.files)

    def told(self, path: Path) -> int:
        """How many times a path was told of as touched or moved to."""
        news = [{*item.touched, *(new for _, new in item.moved)} for item in self.seen]
        return sum(path in told for told in news)

    def moves(self) -> set[tuple[Path, Path]]:
        return {pair for changes in self.seen for pair in changes.moved}

    def close(self) -> None:
        self.stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Follow = Callable[..., Follower]


@pytest.fixture
def follow() -> Iterator[Follow]:
    followers: list[Follower] = []

    def begin(*folders: Path, excludes: tuple[str, ...] = (), polling: bool = False) -> Follower:
        followers.append(Follower(list(folders), list(excludes), polling))
        return followers[-1]

    yield begin
    for follower in followers:
        follower.close()


@pytest.fixture(params=["events", "polling"])
def polling(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "polling")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_first_comes_a_rescan_of_everything(folder: Path, follow: Follow, polling: bool) -> None:
    old = put(folder / "old.jpg")
    follower = follow(folder, polling=polling)
    assert follower.seen[0] == Changes(rescan=frozenset({folder}))
    assert follower.files == {old}


def test_files_that_come_change_move_and_go(folder: Path, follow: Follow, polling: bool) -> None:
    follower = follow(folder, polling=polling)
    path = put(folder / "a.jpg")
    follower.until(lambda: path in follower.files)
    put(path, PICTURE + b" changed")
    follower.until(lambda: follower.told(path) == 2)
    new = folder / "b.jpg"
    path.rename(new)
    follower.until(lambda: follower.files == {new})
    assert (path, new) in follower.moves()
    new.unlink()
    follower.until(lambda: follower.files == set())


def test_a_file_moved_between_watched_folders(tmp_path: Path, follow: Follow) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    path = put(one / "a.jpg")
    follower = follow(one, two)
    path.rename(two / "a.jpg")
    follower.until(lambda: follower.files == {two / "a.jpg"})
    assert (path, two / "a.jpg") in follower.moves()


def test_moved_in_and_moved_out(
    tmp_path: Path, folder: Path, follow: Follow, polling: bool
) -> None:
    follower = follow(folder, polling=polling)
    outside = put(tmp_path / "outside/a.jpg")
    outside.rename(folder / "a.jpg")
    follower.until(lambda: follower.files == {folder / "a.jpg"})
    (folder / "a.jpg").rename(outside)
    follower.until(lambda: follower.files == set())
    inside = put(outside.parent / "album/deep/x.jpg").parent.parent
    inside.rename(folder / "album")
    follower.until(lambda: follower.files == {folder / "album/deep/x.jpg"})
    (folder / "album").rename(inside)
    follower.until(lambda: follower.files == set())
    put(inside / "y.jpg")  # no longer ours
    follower.until_quiet(folder)
    assert follower.files == set()


def test_new_folders_are_watched_with_all_they_hold(
    folder: Path, follow: Follow, polling: bool
) -> None:
    follower = follow(folder, polling=polling)
    first = put(folder / "2024/05/a.jpg")
    follower.until(lambda: first in follower.files)
    second = put(folder / "2024/05/b.jpg")
    third = put(folder / "2024/06/c.jpg")
    follower.until(lambda: follower.files == {first, second, third})
    shutil.rmtree(folder / "2024")
    follower.until(lambda: follower.files == set())
    put(first)
    follower.until(lambda: follower.files == {first})


def test_a_renamed_folder_moves_its_files(folder: Path, follow: Follow, polling: bool) -> None:
    put(folder / "old/deep/a.jpg")
    follower = follow(folder, polling=polling)
    (folder / "old").rename(folder / "new")
    follower.until(lambda: follower.files == {folder / "new/deep/a.jpg"})
    assert (folder / "old/deep/a.jpg", folder / "new/deep/a.jpg") in follower.moves()
    put(folder / "new/deep/b.jpg")
    follower.until(lambda: folder / "new/deep/b.jpg" in follower.files)
    (folder / "new/deep/a.jpg").unlink()
    follower.until(lambda: follower.files == {folder / "new/deep/b.jpg"})


def test_a_file_still_being_written_is_waited_for(folder: Path, follow: Follow) -> None:
    follower = follow(folder)
    path = folder / "slow.jpg"
    with path.open("wb") as file:
        for _ in range(12):
            file.write(PICTURE)
            file.flush()
            time.sleep(0.05)
    follower.until(lambda: path in follower.files)
    follower.until_quiet(folder)
    assert follower.told(path) == 1


def test_replacing_a_file_is_a_change(folder: Path, follow: Follow, polling: bool) -> None:
    path = put(folder / "a.jpg")
    follower = follow(folder, polling=polling)
    put(folder / ".a.jpg.tmp", PICTURE + b" edited").rename(path)
    follower.until(lambda: follower.told(path) >= 1)
    follower.until_quiet(folder)
    assert follower.files == {path}


def test_what_is_left_out_is_not_told_of(folder: Path, follow: Follow, polling: bool) -> None:
    put(folder / "drafts/x.jpg")
    follower = follow(folder, excludes=("drafts", "*.gif"), polling=polling)
    for name in (
        "drafts/y.jpg",
        "a.gif",
        ".hidden.jpg",
        "@eaDir/a.jpg",
        "n.txt",
        "new/drafts/z.jpg",
    ):
        put(folder / name)
    (folder / "link.jpg").symlink_to("/etc/hostname")
    follower.until_quiet(folder)
    assert follower.files == set()
    put(folder / "a.jpg").rename(folder / "drafts/a.jpg")
    (folder / "drafts/x.jpg").rename(folder / "x.jpg")
    follower.until(lambda: follower.files == {folder / "x.jpg"})


def watched_inodes() -> set[int]:
    """The folders on which the kernel holds an inotify watch of this process (proc(5), fdinfo)."""
    lines = [
        line
        for info in Path("/proc/self/fdinfo").iterdir()
        if info.exists()
        for line in info.read_text().splitlines()
    ]
    return {int(line.split("ino:")[1].split()[0], 16) for line in lines if "inotify wd" in line}


def test_excluded_folders_get_no_watch(folder: Path, follow: Follow) -> None:
    for name in ("kept/x.jpg", "drafts/deep/x.jpg", "@eaDir/x.jpg", ".git/x.jpg"):
        put(folder / name)
    follow(folder, excludes=("drafts",))
    assert watched_inodes() == {folder.stat().st_ino, (folder / "kept").stat().st_ino}


def test_names_of_any_bytes(folder: Path, follow: Follow, polling: bool) -> None:
    follower = follow(folder, polling=polling)
    paths = {
        folder / os.fsdecode(name)
        for name in (b"new\nline.jpg", b"\xff\xfe.jpg", "猫 .jpg".encode())
    }
    for path in paths:
        put(path)
    follower.until(lambda: follower.files == paths)
    for path in paths:
        path.unlink()
    follower.until(lambda: follower.files == set())


def test_a_folder_that_vanishes_loses_nothing(
    tmp_path: Path, folder: Path, follow: Follow, polling: bool
) -> None:
    path = put(folder / "a/x.jpg")
    follower = follow(folder, polling=polling)
    folder.rename(tmp_path / "unplugged")
    follower.until(lambda: folder in follower.offline)
    assert follower.files == {path}
    (tmp_path / "unplugged").rename(folder)
    follower.until(lambda: folder not in follower.offline)
    assert follower.files == {path}
    new = put(folder / "a/y.jpg")
    follower.until(lambda: follower.files == {path, new})
    assert not any(changes.gone for changes in follower.seen)


def test_a_folder_that_is_not_there_yet(tmp_path: Path, follow: Follow, polling: bool) -> None:
    folder = tmp_path / "later"
    follower = follow(folder, polling=polling)
    assert follower.offline == {folder}
    path = put(folder / "a.jpg")
    follower.until(lambda: follower.files == {path})


def test_an_empty_folder_mounted_over_a_full_one_deletes_nothing(
    tmp_path: Path, folder: Path, follow: Follow, polling: bool
) -> None:
    path = put(folder / "x.jpg")
    follower = follow(folder, polling=polling)
    folder.rename(tmp_path / "away")
    folder.mkdir()  # what is left when a disk is unmounted: an empty mount point
    follower.until(lambda: len(follower.seen) > 1)
    assert all(path not in changes.gone for changes in follower.seen)
    assert any(folder in changes.rescan for changes in follower.seen[1:])


def test_a_queue_overflow_leads_to_a_rescan(
    folder: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    busy, on_event = threading.Event(), FolderWatches.on_event

    def slow(self: FolderWatches, event: InotifyEvent) -> None:
        busy.wait()  # the reader cannot keep up
        on_event(self, event)

    monkeypatch.setattr(FolderWatches, "on_event", slow)
    some = [put(folder / "a.jpg"), put(folder / "b.jpg")]
    follower = follow(folder)
    for _ in range(limit):
        for path in some:
            os.utime(path)
    lost = put(folder / "sub/new.jpg")
    busy.set()
    follower.until(lambda: lost in follower.files)
    assert any(folder in changes.rescan for changes in follower.seen[1:])
    later = put(folder / "sub/later.jpg")
    follower.until(lambda: later in follower.files)
    assert any("too many changes" in record.message for record in caplog.records)


@pytest.fixture
def few_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that allows three watches, as if fs.inotify.max_user_watches were used up."""
    add = InotifyFD.add_callback

    def limited(self: InotifyFD, *arguments: object) -> int:
        if len(self._watch_for_wd) >= 3:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return add(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(InotifyFD, "add_callback", limited)


def test_polling_takes_over_when_watches_run_out(
    folder: Path, few_watches: None, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(6):
            put(folder / f"{number}/x.jpg")
        follower = follow(folder)
        path = put(folder / "5/y.jpg")
        follower.until(lambda: path in follower.files)
        deeper = put(folder / "7/8/9/z.jpg")
        follower.until(lambda: deeper in follower.files)
        shutil.rmtree(folder / "4")
        follower.until(lambda: folder / "4/x.jpg" not in follower.files)
    told = [record.message for record in caplog.records if "max_user_watches" in record.message]
    assert len(told) == 1


def test_polling_takes_over_when_there_is_no_inotify_instance(
    folder: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(inotify_c, "inotify_init", refuse)
    follower = follow(folder)
    path = put(folder / "a.jpg")
    follower.until(lambda: follower.files == {path})
    assert sum("max_user_instances" in record.message for record in caplog.records) == 1


def test_watches_are_given_back(tmp_path: Path, folder: Path, follow: Follow) -> None:
    put(folder / "a/b/x.jpg")
    follower = follow(folder)
    assert len(watched_inodes()) == 3
    (folder / "a").rename(tmp_path / "elsewhere")
    follower.until(lambda: follower.files == set())
    assert watched_inodes() == {folder.stat().st_ino}
    follower.close()
    assert watched_inodes() == set()


def test_stopping_ends_the_generator(folder: Path) -> None:
    stop = threading.Event()
    changes = watch([folder], stop=stop)
    next(changes)
    stop.set()
    assert list(changes) == []


def shuffle(chance: random.Random, folder: Path, tmp_path: Path) -> None:
    """One thing that people do to their folders."""
    files = [path for path in folder.rglob("*.jpg") if path.is_file()]
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    home, name = chance.choice(folders), f"{chance.randrange(6)}"
    match chance.randrange(8):
        case 0 | 1:
            put(home / f"{name}.jpg", PICTURE + chance.randbytes(8))
        case 2:
            put(home / name / f"{name}.jpg", PICTURE + chance.randbytes(8))
        case 3 if files:
            chance.choice(files).rename(home / f"{name}.jpg")
        case 4 if files:
            chance.choice(files).unlink()
        case 5 if len(folders) > 1:
            moved = chance.choice(folders[1:])
            target = home / name
            if not target.exists() and not target.is_relative_to(moved):
                moved.rename(target)
        case 6 if len(folders) > 1 and chance.random() < 0.5:
            shutil.rmtree(chance.choice(folders[1:]))
        case 7 if len(folders) > 1 and chance.random() < 0.5:
            chance.choice(folders[1:]).rename(tmp_path / f"out-{chance.randrange(10**9)}")
        case _:
            pass


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_follower_ends_up_right(
    tmp_path: Path, folder: Path, follow: Follow, polling: bool, seed: int
) -> None:
    chance = random.Random(seed)
    follower = follow(folder, polling=polling)
    for _ in range(150):
        shuffle(chance, folder, tmp_path)
        if chance.random() < 0.15:
            time.sleep(chance.random() * 0.2)
    there = {found.path for found in Scan(folder)}
    follower.until(lambda: follower.files == there)
    follower.until_quiet(folder)
    assert follower.files == there
