"""What a folder and the catalog disagree about."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from photoindex.analysis.catch_up import Disagreement, KnownRow, Moves, compare, tell_moves
from photoindex.analysis.file_table import FileTable, same_files
from photoindex.photo import FileRow, FileStamp, FileState, file_row, found_file

STAMP = FileStamp(size=1000, mtime_ns=10**18, inode=7, device=1)


def found(path: str, stamp: FileStamp = STAMP) -> FileRow:
    return os.fsencode(path), stamp.size, stamp.mtime_ns, stamp.inode, stamp.device


def known(path: str, stamp: FileStamp = STAMP, state: FileState = FileState.PRESENT) -> KnownRow:
    return *found(path, stamp), state.value


def names(files: Iterable[FileRow] | FileTable) -> list[str]:
    rows = files.rows() if isinstance(files, FileTable) else files
    return [os.fsdecode(row[0]).rpartition("/")[2] for row in rows]


def settled(now: list[FileRow], then: list[KnownRow]) -> tuple[Disagreement, Moves]:
    result = compare(now, then)
    return result, tell_moves(result)


def told(moves: Moves) -> list[tuple[str, str]]:
    return list(zip(names(moves.before), names(moves.now), strict=True))


def test_a_file_that_did_not_change_needs_nothing() -> None:
    result = compare([found("/p/a.jpg")], [known("/p/a.jpg")])
    assert (result.seen, result.unchanged, len(result.unread), len(result.gone)) == (1, 1, 0, 0)


def test_a_remounted_disk_changes_no_file() -> None:
    for now in (replace(STAMP, device=9), replace(STAMP, device=9, inode=8)):
        result, moves = settled([found("/p/a.jpg", now)], [known("/p/a.jpg")])
        assert (len(result.unread), len(result.gone), told(moves)) == (0, 0, [])
        kept = [*result.remounted.rows(), *result.renumbered.rows()]
        assert kept == [found("/p/a.jpg", now)]  # the new numbers are kept


def test_a_new_and_a_changed_file_are_to_be_read() -> None:
    changed = replace(STAMP, size=1001)
    result, moves = settled(
        [found("/p/a.jpg", changed), found("/p/b.jpg", replace(STAMP, inode=9))],
        [known("/p/a.jpg")],
    )
    assert names(result.unread) == ["a.jpg", "b.jpg"]
    assert (len(result.gone), told(moves)) == (0, [])


def test_a_missing_file_is_gone() -> None:
    assert names(compare([], [known("/p/a.jpg")]).gone) == ["a.jpg"]


def test_a_file_deleted_before_is_no_news() -> None:
    assert len(compare([], [known("/p/a.jpg", state=FileState.DELETED)]).gone) == 0


def test_a_moved_file_is_told_without_reading_it() -> None:
    result, moves = settled([found("/p/new/b.jpg")], [known("/p/a.jpg")])
    assert told(moves) == [("a.jpg", "b.jpg")]
    assert (len(result.unread), len(result.gone)) == (0, 0)


def test_the_same_size_and_time_alone_make_no_move() -> None:
    elsewhere = replace(STAMP, inode=8, device=2)
    result, moves = settled([found("/q/a.jpg", elsewhere)], [known("/p/a.jpg")])
    assert (told(moves), names(result.unread), names(result.gone)) == ([], ["a.jpg"], ["a.jpg"])


def test_files_that_changed_names_are_moved_all_at_once() -> None:
    first, second, third = (replace(STAMP, inode=n, size=n) for n in (1, 2, 3))
    then = [known("/p/a", first), known("/p/b", second), known("/p/c", third)]
    now = [found("/p/a", second), found("/p/b", first), found("/p/d", third)]
    result, moves = settled(now, then)
    assert sorted(told(moves)) == [("a", "b"), ("b", "a"), ("c", "d")]
    assert (len(result.unread), len(result.gone), len(result.replaced)) == (0, 0, 0)
    groups = [[(str(a.path), str(b.path)) for a, b in group] for group in moves.groups(1)]
    assert groups[0] == [("/p/c", "/p/d")]
    assert sorted(groups[1]) == [("/p/a", "/p/b"), ("/p/b", "/p/a")]


def test_a_file_moved_over_another_takes_its_place() -> None:
    other = replace(STAMP, inode=8, size=8)
    result, moves = settled([found("/p/b")], [known("/p/a"), known("/p/b", other)])
    assert told(moves) == [("a", "b")]
    assert (len(result.unread), len(result.gone)) == (0, 0)


def test_a_second_link_to_a_file_is_read_not_moved() -> None:
    result, moves = settled([found("/p/a.jpg"), found("/p/b.jpg")], [known("/p/a.jpg")])
    assert (told(moves), names(result.unread)) == ([], ["b.jpg"])


def test_every_link_to_a_file_is_moved() -> None:
    then = [known("/p/a"), known("/p/b"), known("/p/c")]
    result, moves = settled([found("/q/a"), found("/q/b")], then)
    assert (told(moves), names(result.gone)) == ([("a", "a"), ("b", "b")], ["c"])


def test_a_file_under_the_number_of_another_alike_is_read_to_be_sure() -> None:
    other = replace(STAMP, inode=8)
    then = [known("/p/a", STAMP), known("/p/b", other)]
    swapped, moves = settled([found("/p/a", other), found("/p/b", STAMP)], then)
    assert (names(swapped.unread), len(swapped.renumbered)) == (["a", "b"], 0)
    over = [known("/p/a", STAMP, FileState.OFFLINE), known("/p/b", other)]
    back, moves = settled([found("/p/a", other)], over)
    assert (names(back.unread), len(back.back), told(moves)) == (["a"], 0, [])


def test_a_file_that_comes_back_is_noted() -> None:
    for state in (FileState.OFFLINE, FileState.DELETED):
        result = compare([found("/p/a.jpg")], [known("/p/a.jpg", state=state)])
        assert names(result.back) == ["a.jpg"]


def test_what_cannot_be_looked_at_is_not_gone() -> None:
    result = compare([], [known(f"/p/{name}") for name in ("a/b/c", "a.jpg", "b", "bc")])
    result.forget_below([found_file(found("/p/a")).path, found_file(found("/p/b")).path])
    assert names(result.gone) == ["a.jpg", "bc"]


# The same, by sets: what is to hold for any two looks at a folder.

paths = st.sampled_from([b"/p/" + name for name in (b"a", b"a b", b"a.b", b"a/b", b"a0", b"\xff")])
stamps = st.builds(
    FileStamp, size=st.integers(1, 2), mtime_ns=st.integers(-1, 2), inode=st.integers(1, 6),
    device=st.integers(1, 2),
)  # fmt: skip
looks = st.dictionaries(paths, stamps)
knowledge = st.dictionaries(paths, st.tuples(stamps, st.sampled_from(FileState)))


@given(looks, knowledge)
def test_two_sorted_streams_tell_what_two_sets_tell(
    now: dict[bytes, FileStamp], then: dict[bytes, tuple[FileStamp, FileState]]
) -> None:
    rows = sorted((path, *_numbers(stamp)) for path, stamp in now.items())
    records = sorted((path, *_numbers(s), state.value) for path, (s, state) in then.items())
    result = compare(iter(rows), iter(records))

    def where(table: FileTable) -> set[bytes]:
        listed = [row[0] for row in table.rows()]
        assert listed == sorted(set(listed))
        return set(listed)

    both = {path for path in now if path in then}
    same = {p for p in both if _content(now[p]) == _content(then[p][0])}
    present = {path for path in then if then[path][1] is FileState.PRESENT}
    lost = {path for path in then if then[path][1] is not FileState.DELETED}
    assert where(result.unread) == now.keys() - same
    assert where(result.back) == same - present
    assert (
        where(result.renumbered)
        == where(result.formerly)
        == {p for p in same & present if now[p].inode != then[p][0].inode}
    )
    assert where(result.remounted) == {
        p for p in same & present if now[p] == replace(then[p][0], device=3 - then[p][0].device)
    }
    assert where(result.gone) == lost - now.keys()
    assert where(result.replaced) == (lost & now.keys()) - same
    assert result.unchanged == sum(now[path] == then[path][0] for path in same & present)
    assert result.seen == len(now)


@given(looks, knowledge)
def test_every_file_is_accounted_for_exactly_once(
    now: dict[bytes, FileStamp], then: dict[bytes, tuple[FileStamp, FileState]]
) -> None:
    rows = sorted((path, *_numbers(stamp)) for path, stamp in now.items())
    records = sorted((path, *_numbers(s), state.value) for path, (s, state) in then.items())
    result, moves = settled(rows, records)
    told_of = [*result.unread.rows(), *result.back.rows(), *moves.now.rows()]
    told_of += [*result.remounted.rows(), *result.renumbered.rows()]
    assert len({row[0] for row in told_of}) == len(told_of) == result.seen - result.unchanged
    assert set(told_of) <= set(rows)
    for old, new in zip(moves.before.rows(), moves.now.rows(), strict=True):
        assert old[1:4] == new[1:4] and old[0] != new[0]
        assert then[old[0]][1] is not FileState.DELETED
        assert old[0] not in now or _content(now[old[0]]) != _content(then[old[0]][0])
    origins = [row[0] for row in (*moves.before.rows(), *result.gone.rows())]
    assert len(set(origins)) == len(origins)
    lost = {path for path in then if then[path][1] is not FileState.DELETED}
    assert lost - now.keys() <= set(origins)
    assert not {row[0] for row in result.gone.rows()} & now.keys()


@given(looks, knowledge, st.integers(1, 3))
def test_moves_in_groups_come_to_the_same_as_all_at_once(
    now: dict[bytes, FileStamp], then: dict[bytes, tuple[FileStamp, FileState]], size: int
) -> None:
    rows = sorted((path, *_numbers(stamp)) for path, stamp in now.items())
    records = sorted((path, *_numbers(s), state.value) for path, (s, state) in then.items())
    _, moves = settled(rows, records)
    at_once = _moved(dict.fromkeys(then), [list(zip(moves.before, moves.now, strict=True))])
    assert _moved(dict.fromkeys(then), moves.groups(size)) == at_once


def _moved(catalog: dict[bytes, bytes | None], groups: Iterable[list]) -> dict[bytes, bytes]:
    """What lies where when each group is carried out as a whole, by the paths of the beginning."""
    content = {path: path for path in catalog}
    for group in groups:
        steps = [(file_row(old)[0], file_row(new)[0]) for old, new in group]
        taken = [(new, content[old]) for old, new in steps]
        for old, _ in steps:
            content.pop(old, None)
        content.update(taken)
    return content


def _numbers(stamp: FileStamp) -> tuple[int, int, int, int]:
    return stamp.size, stamp.mtime_ns, stamp.inode, stamp.device


def _content(stamp: FileStamp) -> tuple[int, int]:
    return stamp.size, stamp.mtime_ns


rows_of_any_kind = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=8).map(lambda name: b"/" + name),
        st.integers(0, 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
    )
)


@given(rows_of_any_kind)
def test_a_table_gives_back_what_was_put_in(rows: list[FileRow]) -> None:
    table = FileTable(rows)
    assert list(table.rows()) == rows
    assert list(table) == [found_file(row) for row in rows] == table[:]
    assert [file_row(file) for file in table] == [
        (os.fsencode(found_file(row).path), *row[1:]) for row in rows
    ]
    assert table[1::2] == list(table)[1::2]
    if rows:
        assert table[-1] == found_file(rows[-1])
        last = np.array([len(rows) - 1])
        assert list(table.without(last).rows()) == rows[:-1]


@given(st.lists(stamps), st.lists(stamps))
def test_files_are_paired_while_there_are_two_of_the_same(
    before: list[FileStamp], now: list[FileStamp]
) -> None:
    pairs = list(
        zip(
            *map(
                np.ndarray.tolist,
                same_files(
                    FileTable(found(f"/b/{n}", stamp) for n, stamp in enumerate(before)),
                    FileTable(found(f"/n/{n}", stamp) for n, stamp in enumerate(now)),
                ),
            ),
            strict=True,
        )
    )
    expected, left = [], [replace(stamp, device=0) for stamp in before]
    places = list(range(len(before)))
    for target, stamp in enumerate(now):
        if (key := replace(stamp, device=0)) in left:
            at = left.index(key)
            expected.append((places.pop(at), target))
            del left[at]
    assert pairs == expected
