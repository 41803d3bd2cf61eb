"""When a change counts as settled, and how several changes of the same files add up."""

import os
from pathlib import Path

import pytest

from photoindex.photos.changes import Changes, Settling


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settling(clock: Clock) -> Settling:
    return Settling(1.0, os.path.isfile, clock)


def put(path: Path, content: bytes = b"x") -> Path:
    path.write_bytes(content)
    return path


def settled_after(settling: Settling, clock: Clock, seconds: float) -> Changes:
    clock.now += seconds
    return settling.settled()


def test_a_file_is_told_of_when_it_has_been_still(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    path = put(tmp_path / "x.jpg")
    settling.touch(path)
    assert not settled_after(settling, clock, 0.9)
    assert settled_after(settling, clock, 0.1) == Changes(touched=frozenset({path}))
    assert not settled_after(settling, clock, 10)


def test_a_file_that_grows_is_waited_for(tmp_path: Path, settling: Settling, clock: Clock) -> None:
    path = put(tmp_path / "x.jpg")
    settling.touch(path)
    for size in range(2, 6):
        put(path, b"x" * size)
        assert not settled_after(settling, clock, 1.0)
    assert settled_after(settling, clock, 1.0).touched == {path}


def test_saving_by_replacing_is_one_change(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    path = put(tmp_path / "x.jpg")
    settling.go(path)
    clock.now += 0.5
    settling.touch(path)
    assert not settled_after(settling, clock, 0.6)
    assert settled_after(settling, clock, 0.5) == Changes(touched=frozenset({path}))


def test_what_is_not_there_when_its_time_comes_is_gone(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    settling.touch(tmp_path / "x.jpg")
    settling.go(tmp_path / "folder")
    gone = settled_after(settling, clock, 1.0).gone
    assert gone == {tmp_path / "x.jpg", tmp_path / "folder"}


def test_a_move_is_a_move(tmp_path: Path, settling: Settling, clock: Clock) -> None:
    old, new = tmp_path / "a.jpg", put(tmp_path / "b.jpg")
    settling.go(old)
    settling.move(old, new)
    assert settled_after(settling, clock, 1.0) == Changes(moved=((old, new),))


def test_moves_in_a_row_are_one(tmp_path: Path, settling: Settling, clock: Clock) -> None:
    a, b, c = tmp_path / "a.jpg", tmp_path / "b.jpg", put(tmp_path / "c.jpg")
    settling.move(a, b)
    settling.move(b, c)
    changes = settled_after(settling, clock, 1.0)
    assert changes.moved == ((a, c),)
    assert changes.gone == {b}
    assert not changes.touched


def test_a_moved_and_changed_file_is_both(tmp_path: Path, settling: Settling, clock: Clock) -> None:
    old, new = tmp_path / "a.jpg", put(tmp_path / "b.jpg")
    settling.move(old, new)
    settling.touch(new)
    changes = settled_after(settling, clock, 1.0)
    assert (changes.moved, changes.touched) == (((old, new),), {new})


def test_moved_then_deleted_is_gone_from_both_places(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    settling.move(tmp_path / "a.jpg", tmp_path / "b.jpg")
    settling.go(tmp_path / "b.jpg")
    changes = settled_after(settling, clock, 1.0)
    assert changes == Changes(gone=frozenset({tmp_path / "a.jpg", tmp_path / "b.jpg"}))


def test_there_and_back_again_is_looked_at_anew(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    a, b = put(tmp_path / "a.jpg"), tmp_path / "b.jpg"
    settling.move(a, b)
    settling.move(b, a)
    changes = settled_after(settling, clock, 1.0)
    assert changes == Changes(touched=frozenset({a}), gone=frozenset({b}))


def test_files_that_changed_places_are_looked_at_anew(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    a, b, t = put(tmp_path / "a.jpg"), put(tmp_path / "b.jpg"), tmp_path / "t.jpg"
    settling.move(a, t)
    settling.move(b, a)
    settling.move(t, b)
    told = [settled_after(settling, clock, 1.0) for _ in range(3)]
    assert [changes.moved for changes in told] == [(), (), ()]
    assert set().union(*(changes.touched for changes in told)) == {a, b}
    assert set().union(*(changes.gone for changes in told)) <= {t}


def test_a_temporary_name_that_becomes_a_picture_is_new(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    settling.touch(tmp_path / "x.jpg.part")
    put(tmp_path / "x.jpg")
    settling.move(tmp_path / "x.jpg.part", tmp_path / "x.jpg")
    changes = settled_after(settling, clock, 1.0)
    assert {new for _, new in changes.moved} | changes.touched == {tmp_path / "x.jpg"}


def test_a_picture_renamed_to_something_else_is_gone(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    put(tmp_path / "x.jpg.bak")
    settling.move(tmp_path / "x.jpg", tmp_path / "x.jpg.bak")
    assert settled_after(settling, clock, 1.0) == Changes(gone=frozenset({tmp_path / "x.jpg"}))


def test_what_is_no_picture_is_not_told_of(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    settling.touch(put(tmp_path / "notes.txt"))
    assert not settled_after(settling, clock, 1.0)


def test_a_rescan_supersedes_what_lies_below(
    tmp_path: Path, settling: Settling, clock: Clock
) -> None:
    beside = put(tmp_path / "beside.jpg")
    (tmp_path / "in").mkdir()
    settling.touch(beside)
    settling.touch(put(tmp_path / "in/x.jpg"))
    settling.go(tmp_path / "in/y.jpg")
    settling.move(tmp_path / "in/a.jpg", put(tmp_path / "in/b.jpg"))
    settling.rescan(tmp_path / "in")
    assert settling.settled() == Changes(rescan=frozenset({tmp_path / "in"}))
    assert settled_after(settling, clock, 1.0) == Changes(touched=frozenset({beside}))
