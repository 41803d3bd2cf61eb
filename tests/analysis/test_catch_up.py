"""What a folder and the catalog disagree about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from photoindex.analysis.catch_up import compare
from photoindex.catalog.records import FileRecord
from photoindex.photo import FileStamp, FileState, FoundFile

STAMP = FileStamp(size=1000, mtime_ns=10**18, inode=7, device=1)


def found(path: str, stamp: FileStamp = STAMP) -> FoundFile:
    return FoundFile(Path(path), stamp)


def known(
    path: str,
    stamp: FileStamp = STAMP,
    state: FileState = FileState.PRESENT,
    photo_id: int | None = 1,
) -> FileRecord:
    return FileRecord(Path(path), stamp, state, photo_id, None if photo_id else "not a picture")


def test_a_file_that_did_not_change_needs_nothing() -> None:
    result = compare([found("/p/a.jpg")], [known("/p/a.jpg")])
    assert (result.unchanged, result.unread, result.gone) == (1, [], [])


def test_a_remounted_disk_changes_no_file() -> None:
    remounted = replace(STAMP, device=9, inode=8)
    result = compare([found("/p/a.jpg", remounted)], [known("/p/a.jpg")])
    assert (result.unchanged, result.unread) == (1, [])
    assert result.renumbered == [found("/p/a.jpg", remounted)]  # the new numbers are kept


def test_a_new_and_a_changed_file_are_to_be_read() -> None:
    changed = replace(STAMP, size=1001)
    result = compare(
        [found("/p/a.jpg", changed), found("/p/b.jpg", replace(STAMP, inode=9))],
        [known("/p/a.jpg")],
    )
    assert [file.path.name for file in result.unread] == ["a.jpg", "b.jpg"]
    assert result.gone == []


def test_a_missing_file_is_gone() -> None:
    assert compare([], [known("/p/a.jpg")]).gone == [known("/p/a.jpg")]


def test_a_file_deleted_before_is_no_news() -> None:
    assert compare([], [known("/p/a.jpg", state=FileState.DELETED)]).gone == []


def test_a_moved_file_is_told_without_reading_it() -> None:
    result = compare([found("/p/new/a.jpg")], [known("/p/a.jpg")])
    assert [(move.old, move.file.path) for move in result.moved] == [
        (Path("/p/a.jpg"), Path("/p/new/a.jpg"))
    ]
    assert (result.unread, result.gone) == ([], [])


def test_a_second_link_to_a_file_is_read_not_moved() -> None:
    result = compare([found("/p/a.jpg"), found("/p/b.jpg")], [known("/p/a.jpg")])
    assert result.moved == []
    assert [file.path.name for file in result.unread] == ["b.jpg"]


def test_a_file_that_comes_back_is_noted() -> None:
    for state in (FileState.OFFLINE, FileState.DELETED):
        result = compare([found("/p/a.jpg")], [known("/p/a.jpg", state=state)])
        assert [file.path for file in result.back] == [Path("/p/a.jpg")]


def test_a_failed_picture_is_left_alone_until_it_changes() -> None:
    failed = known("/p/a.jpg", photo_id=None)
    assert compare([found("/p/a.jpg")], [failed]).unchanged == 1
    changed = found("/p/a.jpg", replace(STAMP, mtime_ns=STAMP.mtime_ns + 1))
    assert compare([changed], [failed]).unread == [changed]


names = st.sampled_from([f"/p/{name}.jpg" for name in "abcdef"])
stamps = st.builds(
    FileStamp, size=st.integers(1, 2), mtime_ns=st.integers(1, 2), inode=st.integers(1, 6),
    device=st.just(1),
)  # fmt: skip


@given(st.dictionaries(names, stamps), st.dictionaries(names, stamps))
def test_every_file_is_accounted_for_exactly_once(
    now: dict[str, FileStamp], then: dict[str, FileStamp]
) -> None:
    result = compare([found(p, s) for p, s in now.items()], [known(p, s) for p, s in then.items()])
    seen = [file.path for file in (*result.unread, *result.back)]
    seen += [move.file.path for move in result.moved]
    assert len(seen) + result.unchanged == len(now) == result.seen
    assert len(set(seen)) == len(seen)
    left = {Path(path) for path in then} - {Path(path) for path in now}
    assert {*(record.path for record in result.gone), *(move.old for move in result.moved)} == left
