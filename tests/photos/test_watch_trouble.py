"""Watching folders that vanish, and systems that cannot keep up or have no watches left."""

import ctypes
import errno
import logging
import os
import shutil
import threading
from pathlib import Path

import pytest
from following import Follow, put
from watchdog.observers import inotify_c
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

from photoindex.photos.inotify import FolderWatches
from photoindex.photos.watch import Watcher

# Folders are watched again under new names; pytest undoes the filter that keeps this quiet.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


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


def test_more_events_than_are_kept_lead_to_a_rescan(
    folder: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory has a bound also where nobody takes events, as while photos are analysed."""
    monkeypatch.setattr("photoindex.photos.watch.EVENTS_KEPT", 100)
    busy, wait = threading.Event(), Watcher.wait

    def slow(self: Watcher, seconds: float) -> None:
        busy.wait()
        assert self._inbox.qsize() <= 101
        wait(self, seconds)

    follower = follow(folder)
    monkeypatch.setattr(Watcher, "wait", slow)
    film = folder / "film.mov"
    for _ in range(1000):
        with film.open("ab") as file:
            file.write(b"frame")
    lost = put(folder / "sub/new.jpg")
    busy.set()
    follower.until(lambda: lost in follower.files)
    later = put(folder / "sub/later.jpg")
    follower.until(lambda: later in follower.files)
    assert any("too many changes" in record.message for record in caplog.records)
