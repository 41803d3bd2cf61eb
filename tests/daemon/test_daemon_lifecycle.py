"""Starting, stopping and starting again; disks that come and go; one watcher a library."""

from __future__ import annotations

import json
import os
import shutil
import signal
from datetime import datetime

import pytest
from PIL import Image
from watching import PICTURES, Place, put, until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(place: Place, number: int) -> None:
    put("home/dog.jpg", place.folder / "dog.jpg")
    with place.watching() as daemon:
        assert daemon.stop(number) == 0
    assert "caught up: 1 photo analysed; watching" in daemon.lines[0]
    assert daemon.lines[-1] == "stopped"
    assert place.status()["photos"] == 1


def test_a_restart_catches_up_with_what_happened_meanwhile(place: Place) -> None:
    kept = put("home/dog.jpg", place.folder / "kept.jpg")
    changed = put("zoo/lions.jpg", place.folder / "changed.jpg")
    deleted = put("zoo/zebra.jpg", place.folder / "deleted.jpg")
    moved = put("zoo/panda.webp", place.folder / "panda.webp")
    away = put("farm/animals.jpg", place.folder / "animals.jpg")
    with place.watching() as daemon:
        place.run("tag", moved, "favourite")
        place.run("tag", away, "ours")
        assert daemon.stop() == 0

    put("holidays/sailing.jpg", changed)
    deleted.unlink()
    moved_to = place.folder / "sub" / "bears" / "renamed.webp"
    moved_to.parent.mkdir(parents=True)
    moved.rename(moved_to)
    copied_to = put("farm/animals.jpg", place.folder / "from a backup.jpg")
    away.unlink()
    new = put("city/taxi.jpg", place.folder / "new.jpg")

    with place.watching() as daemon:
        assert "2 photos analysed" in daemon.lines[0]
        assert "sea" in (place.tags(changed) or ())
        assert place.tags(deleted) is None
        assert place.tags(moved) is None
        assert "favourite" in (place.tags(moved_to) or ())
        assert "ours" in (place.tags(copied_to) or ())
        assert place.tags(kept) and place.tags(new)
        assert daemon.stop() == 0
    with place.watching() as daemon:
        assert "caught up: 0 photos analysed; " in daemon.lines[0]


def test_an_unmounted_disk_makes_photos_offline_never_deleted(place: Place) -> None:
    photo = put("home/dog.jpg", place.folder / "dog.jpg")
    with place.watching() as daemon:
        unplugged = place.folder.rename(place.folder.with_name("unplugged"))
        until(lambda: place.status()["files"]["offline"] == 1, "the photo is not offline")
        assert place.status()["files"]["deleted"] == 0
        assert not place.status()["folders"][0]["online"]
        assert "dog" in (place.tags(photo) or ())
        daemon.says("offline, not deleted")
        unplugged.rename(place.folder)
        until(lambda: place.status()["files"]["present"] == 1, "the photo is not back")
        later = put("zoo/panda.webp", place.folder / "panda.webp")
        place.knows(later)
        assert place.status()["folders"][0]["online"]
        assert daemon.stop() == 0


def test_a_disk_that_is_away_at_the_start_is_waited_for(place: Place) -> None:
    put("home/dog.jpg", place.folder / "dog.jpg")
    with place.watching() as daemon:
        assert daemon.stop() == 0
    unplugged = place.folder.rename(place.folder.with_name("unplugged"))
    with place.watching() as daemon:
        assert place.status()["files"] == {"present": 0, "offline": 1, "deleted": 0}
        unplugged.rename(place.folder)
        until(lambda: place.status()["files"]["present"] == 1, "the photo is not back")
        assert place.status()["photos"] == 1


def test_a_library_that_goes_away_ends_it_and_is_continued_when_back(place: Place) -> None:
    put("home/dog.jpg", place.folder / "dog.jpg")
    with place.watching() as daemon:
        away = place.library.rename(place.library.with_name("away"))
        panda = put("zoo/panda.webp", place.folder / "panda.webp")
        daemon.ends_with(3)
        assert "not there any more: bring it or its disk back" in daemon.lines[-1]
        assert not any("Traceback" in line for line in daemon.lines)
        assert not place.library.exists()
    away.rename(place.library)
    with place.watching() as daemon:
        assert "caught up: 1 photo analysed" in daemon.lines[0]
        assert "panda" in (place.tags(panda) or ())
        assert place.status()["photos"] == 2
        assert daemon.stop() == 0


def test_a_second_watcher_is_told_who_holds_the_library(place: Place) -> None:
    with place.watching() as daemon:
        second = place.run("watch", place.folder)
        assert second.returncode == 3
        assert f"already watched by process {daemon.process.pid} on " in second.stderr
        assert second.stderr.count("\n") == 1
        photo = put("home/dog.jpg", place.folder / "dog.jpg")
        place.knows(photo)


def test_a_watcher_that_was_killed_leaves_no_lock(place: Place) -> None:
    with place.watching() as daemon:
        daemon.stop(signal.SIGKILL)
    with place.watching() as daemon:
        assert daemon.stop() == 0


def test_each_change_is_a_line_of_json(place: Place) -> None:
    put("home/dog.jpg", place.folder / "dog.jpg")
    with place.watching("--json") as daemon:
        put("zoo/panda.webp", place.folder / "panda.webp")
        until(lambda: len(daemon.printed) == 2, "no line for the change")
        assert daemon.stop() == 0
    caught_up, change = map(json.loads, daemon.printed)
    assert caught_up.keys() == change.keys()
    assert (caught_up["analysed"], change["analysed"]) == (1, 1)
    first, second = (datetime.fromisoformat(line["at"]) for line in (caught_up, change))
    assert first <= second and first.tzinfo is not None


def test_polling_sees_the_same(place: Place) -> None:
    old = put("home/dog.jpg", place.folder / "dog.jpg")
    with place.watching("--polling") as daemon:
        place.run("tag", old, "ours")
        new = old.rename(place.folder / "renamed.jpg")
        other = put("zoo/panda.webp", place.folder / "sub/panda.webp")
        place.knows(new)
        place.knows(other)
        assert "ours" in (place.tags(new) or ())
        assert place.status()["photos"] == 2
        assert daemon.stop() == 0


def test_many_files_at_once(place: Place) -> None:
    with place.watching() as daemon:
        shutil.copytree(PICTURES, place.folder, dirs_exist_ok=True)
        bundled = sum(path.is_file() for path in PICTURES.rglob("*"))
        until(lambda: place.status()["photos"] == bundled, "not all photos were analysed")
        assert daemon.stop() == 0


def test_names_of_any_bytes(place: Place) -> None:
    with place.watching() as daemon:
        odd = put("home/dog.jpg", place.folder / os.fsdecode(b"caf\xe9\n\x1b[31m.jpg"))
        place.knows(odd)
        assert daemon.stop() == 0


def test_indexing_that_is_interrupted_keeps_what_was_done(place: Place) -> None:
    for number in range(400):
        colour = (number % 256, 90, 255 * (number > 255))
        Image.new("RGB", (96, 96), colour).save(place.folder / f"{number:03}.png")
    indexing = place.start("index", place.folder, "--model", "sketch", "--device", "cpu")
    try:
        until(lambda: place.photos() > 0, "nothing was indexed")
        indexing.process.send_signal(signal.SIGINT)
        indexing.ends_with(130)
    finally:
        indexing.end()
    assert any(line.startswith("interrupted: ") for line in indexing.lines)
    assert 0 < place.status()["photos"] < 400
