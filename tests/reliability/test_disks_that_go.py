"""Disks that cannot be written, or go away while a watcher runs."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from disturbed import BROKEN, PROGRAM, Place, draw, look
from small_disk import Disk, also_at, mounted

COUNT = 20
FILES = COUNT + BROKEN
PATIENCE = 60.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", megabytes=64) as disk:
        yield disk


def files(place: Place) -> dict[str, int]:
    """State → how many files, as `status` tells it; empty while there is no library."""
    done = _tried(place, "status", "--json")
    counted: dict[str, int] = json.loads(done.stdout)["files"] if done.returncode == 0 else {}
    return counted


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that must come true."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def test_a_library_that_cannot_be_written_says_so_and_stays_as_it_is(
    disk: Disk, tmp_path: Path
) -> None:
    place = Place(disk.path, draw(tmp_path / "pictures", COUNT))
    concepts = str(place.concepts())
    place.run("index", str(place.pictures))
    before = look(place.library)
    disk.allow_writing(False)
    for words in (
        ("index", str(place.pictures)),
        ("watch", str(place.pictures)),
        ("add-concept", concepts),
        ("tag", str(place.pictures / "00" / "0001.jpg"), "ours"),
    ):
        done = _tried(place, *words)
        assert done.returncode == 3, (words, done.stderr)
        assert done.stderr.startswith("photoindex: ") and done.stderr.count("\n") == 1
        assert "writable" in done.stderr
    disk.allow_writing(True)
    assert look(place.library) == before
    place.run("add-concept", concepts)


@pytest.mark.parametrize("killed", [False, True])
def test_a_library_that_cannot_be_written_can_be_asked(
    disk: Disk, tmp_path: Path, killed: bool
) -> None:
    """Closed as it should be, or with what a killed process had written still in the log."""
    place = Place(disk.path, draw(tmp_path / "pictures", COUNT))
    place.run("index", str(place.pictures))
    if killed:
        with place.running("watch", str(place.pictures)):
            until(lambda: "caught up" in place.said.read_text(), "not caught up")
            place.run("tag", str(place.pictures / "00" / "0001.jpg"), "ours")
        assert (place.library / "catalog.db-wal").stat().st_size
    else:
        place.run("tag", str(place.pictures / "00" / "0001.jpg"), "ours")
        assert not (place.library / "catalog.db-wal").exists()
    questions = (
        ("search", "tag:ours", "--paths"),
        ("search", "a red thing", "--json"),
        ("tags", "--json"),
        ("failures", "--json"),
        ("concepts", "--json"),
    )
    disk.allow_writing(False)
    answers = [_tried(place, *words) for words in questions]
    assert files(place)["present"] == FILES
    disk.allow_writing(True)
    for words, answer in zip(questions, answers, strict=True):
        again = _tried(place, *words)
        assert answer.returncode in (0, 1), (words, answer.stderr)
        assert (answer.returncode, answer.stdout) == (again.returncode, again.stdout), words
    assert answers[0].stdout == f"{place.pictures / '00' / '0001.jpg'}\n"


def test_photos_on_a_disk_that_is_unmounted_are_offline_until_it_is_back(
    disk: Disk, tmp_path: Path
) -> None:
    place = Place(tmp_path, tmp_path / "pictures")
    place.pictures.mkdir()
    own = draw(disk.path / "photos", COUNT)
    with ExitStack() as mount:
        mount.enter_context(also_at(place.pictures, own))
        with place.running("watch", str(place.pictures)) as watcher:
            until(lambda: files(place).get("present") == FILES, "not caught up")
            before = look(place.library)
            mount.close()
            until(lambda: files(place).get("offline") == FILES, "not offline")
            assert files(place) == {"present": 0, "offline": FILES, "deleted": 0}
            with also_at(place.pictures, own):
                until(lambda: files(place).get("present") == FILES, "not back")
                assert look(place.library) == before
                watcher.send_signal(signal.SIGTERM)
                assert watcher.wait(PATIENCE) == 0
    assert "analysed" not in place.said.read_text().split("; watching ")[1]


def test_a_library_on_a_disk_that_is_unmounted_ends_its_watcher(disk: Disk, tmp_path: Path) -> None:
    place = Place(tmp_path, draw(tmp_path / "pictures", COUNT))
    place.library.mkdir()
    with ExitStack() as mount:
        mount.enter_context(also_at(place.library, disk.path))
        with place.running("watch", str(place.pictures)) as watcher:
            until(lambda: "caught up" in place.said.read_text(), "not caught up")
            mount.close()
            draw(place.pictures / "more", COUNT + 10)
            assert watcher.wait(PATIENCE) == 3
    assert "not there any more: bring it or its disk back" in place.said.read_text()
    assert "Traceback" not in place.said.read_text()
    assert list(place.library.iterdir()) == []
    with also_at(place.library, disk.path):
        place.run("index")
        assert len(look(place.library).photos) == 2 * COUNT + 10


def _tried(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *words],
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
