"""Watching real folders: what is told, and what is not."""

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest
from following import PICTURE, Follow, put

from photoindex.photos.changes import Changes
from photoindex.photos.walk import Scan
from photoindex.photos.watch import watch

# Folders are watched again under new names; pytest undoes the filter that keeps this quiet.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


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
