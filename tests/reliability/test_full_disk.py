"""A disk without room: what is said, that nothing is damaged, and that it goes on with room."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disturbed import PROGRAM, Place, Seen, Undisturbed, assert_alike, draw, look
from small_disk import Disk, mounted

COUNT = 60
ROOM_FOR_SOME = 2 << 20
"""Bytes in which some of the photos' analyses find room, not all of them."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Fewer pictures, and what a library of them holds when all went well."""
    top = tmp_path_factory.mktemp("few")
    place = Place(top, draw(top / "pictures", COUNT))
    place.run("index", str(place.pictures))
    place.run("add-concept", str(place.concepts()))
    return Undisturbed(place.pictures, look(place.library))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def place(disk: Disk, few: Undisturbed) -> Place:
    """The library lies on the small disk, the pictures do not."""
    place = Place(disk.path, few.pictures)
    place.concepts()
    return place


def refused(place: Place, *words: str, limit: int | None = None) -> str:
    """What a command says that has to end with an error; limit: bytes of the largest file."""
    soft_hard = (limit, limit) if limit is not None else resource.getrlimit(resource.RLIMIT_FSIZE)
    done = subprocess.run(
        [str(PROGRAM), *words],
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, soft_hard),
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("photoindex: ") and done.stderr.count("\n") == 1
    return done.stderr


def problems(place: Place) -> dict[str, str]:
    """Check → what the doctor finds wrong; little room is a problem, but one of the disk."""
    done = subprocess.run(
        [str(PROGRAM), "doctor", "--json"],
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads(done.stdout)["findings"]
    told = {one["check"]: one["found"] for one in found if one["verdict"] == "problem"}
    return {check: finding for check, finding in told.items() if check != "free space"}


def finish(place: Place) -> Seen:
    """What the library holds once indexing and the concepts were let finish."""
    place.run("index", str(place.pictures))
    place.run("add-concept", str(place.top / "concepts.json"))
    return look(place.library)


def test_indexing_stops_and_goes_on_when_there_is_room(
    disk: Disk, place: Place, few: Undisturbed
) -> None:
    disk.fill(ROOM_FOR_SOME)
    assert "the disk is full: free some space" in refused(place, "index", str(place.pictures))
    assert problems(place) == {}
    disk.make_room()
    assert 0 < len(look(place.library).photos) < COUNT
    assert_alike(finish(place), few.seen)


@pytest.mark.parametrize("left", [0, 8192, 40_960, 122_880])
def test_a_library_that_cannot_even_be_made_is_made_later(
    left: int, disk: Disk, place: Place, few: Undisturbed
) -> None:
    disk.fill(left)
    refused(place, "index", str(place.pictures))
    disk.make_room()
    assert_alike(finish(place), few.seen)


def test_a_concept_without_room_is_not_half_there(
    disk: Disk, place: Place, few: Undisturbed
) -> None:
    place.run("index", str(place.pictures))
    before = look(place.library)
    disk.fill(40_960)  # the database opens, but nothing can be added to it
    assert "the disk is full: free some" in refused(
        place, "add-concept", str(place.top / "concepts.json")
    )
    assert problems(place) == {}
    disk.make_room()
    assert look(place.library) == before
    assert_alike(finish(place), few.seen)


def test_a_disk_that_got_full_does_not_make_the_library_look_damaged(
    disk: Disk, place: Place
) -> None:
    place.run("index", str(place.pictures))
    disk.fill(0)
    for words in (("search", "red"), ("status",), ("index",)):
        assert "the disk is full: free some space" in refused(place, *words)
    told = problems(place)
    assert told.keys() == {"pages"} and "the disk is full" in told["pages"]
    assert "damaged" not in told["pages"]
    disk.make_room()
    assert problems(place) == {}


def test_a_backup_without_room_leaves_nothing_and_harms_nothing(disk: Disk, place: Place) -> None:
    place.run("index", str(place.pictures))
    database = (place.library / "catalog.db").stat().st_size
    for left in (database // 2, 120_000):
        disk.fill(left)
        assert "no room in" in refused(place, "backup", str(disk.path / "it.backup"))
    disk.make_room()
    assert {file.name for file in disk.path.iterdir()} == {"library", "concepts.json"}
    place.run("backup", str(disk.path / "it.backup"))
    place.run("restore", str(disk.path / "it.backup"), "--force")
    assert problems(place) == {}


def test_a_backup_that_is_cut_short_leaves_the_earlier_one(
    few: Undisturbed, tmp_path: Path
) -> None:
    """The room was there when it began: a limit of the process takes it away meanwhile."""
    place = Place(tmp_path, few.pictures)
    place.run("index", str(place.pictures))
    target = tmp_path / "backups" / "it.backup"
    target.parent.mkdir()
    place.run("backup", str(target))
    earlier = target.read_bytes()
    refused(place, "backup", str(target), "--force", limit=len(earlier) // 2)
    assert target.read_bytes() == earlier
    assert [file.name for file in target.parent.iterdir()] == [target.name]
    assert problems(place) == {}


def test_a_limit_on_files_stops_indexing_and_damages_nothing(
    few: Undisturbed, tmp_path: Path
) -> None:
    """What any user can try: the system refuses to let a file grow."""
    place = Place(tmp_path, few.pictures)
    place.concepts()
    refused(place, "index", str(place.pictures), limit=500_000)
    assert problems(place) == {}
    assert len(look(place.library).photos) < COUNT
    assert_alike(finish(place), few.seen)
