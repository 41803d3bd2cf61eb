"""Files point to photos: copies, moves, deletions, disks that go away."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_model import MODEL, analysed, found

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import FileFailure, FileLink, FileMove, PhotoFilter
from photoindex.photo import FileState

NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


def paths_under(catalog: Catalog, folder: str) -> list[Path]:
    return [file.path for file in catalog.files.under(Path(folder))]


def test_a_file_is_what_was_seen_of_it(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/a/1.jpg", mtime_ns=5)], MODEL)
    file = catalog.files.at(Path("/a/1.jpg"))
    assert file is not None
    assert (file.photo_id, file.state, file.failure) == (photo, FileState.PRESENT, None)
    assert file.stamp == found("/a/1.jpg", mtime_ns=5).stamp
    assert catalog.files.at(Path("/a/2.jpg")) is None


def test_inodes_and_devices_may_be_any_unsigned_number(catalog: Catalog) -> None:
    catalog.folders.remember(Path("/a"), 2**64 - 1)
    catalog.files.fail([FileFailure(found("/a/x", inode=2**64 - 3), "broken")])
    file = catalog.files.at(Path("/a/x"))
    assert file is not None and file.stamp.inode == 2**64 - 3
    assert catalog.folders.all()[0].device == 2**64 - 1


def test_a_folder_holds_its_own_files_and_no_neighbours(catalog: Catalog) -> None:
    inside = ["/a/b/1", "/a/b/c/2", "/a/b/%", "/a/b/_x"]
    catalog.files.fail([FileFailure(found(path), "broken") for path in (*inside, "/a/bc", "/a/b")])
    assert sorted(map(str, paths_under(catalog, "/a/b"))) == sorted(inside)
    assert sorted(map(str, paths_under(catalog, "/a/b/"))) == sorted(inside)
    assert len(paths_under(catalog, "/")) == 6
    assert paths_under(catalog, "/a/%") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(names=st.lists(st.tuples(NAMES, NAMES), unique=True, max_size=12))
def test_any_names_the_file_system_allows(
    catalog: Catalog, names: list[tuple[bytes, bytes]]
) -> None:
    for file in list(catalog.files.under(Path("/"))):
        catalog.files.mark_deleted([file.path])
    paths = [Path(os.fsdecode(b"/" + folder + b"/" + name)) for folder, name in names]
    catalog.files.fail([FileFailure(found(path), "broken") for path in paths])
    assert set(paths_under(catalog, "/")) == set(paths)
    for folder in {path.parent for path in paths}:
        expected = {path for path in paths if path.parent == folder}
        assert {file.path for file in catalog.files.under(folder)} == expected


def test_many_files_are_streamed_in_order(catalog: Catalog) -> None:
    paths = [f"/many/{number:05}" for number in range(4500)]
    catalog.files.fail([FileFailure(found(path), "broken") for path in paths])
    assert [str(path) for path in paths_under(catalog, "/many")] == paths


def test_a_copy_shares_the_photo(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/a/1")], MODEL)
    catalog.files.link([FileLink(found("/b/copy"), photo)])
    (record,) = catalog.photos.many([photo])
    assert set(map(str, record.files)) == {"/a/1", "/b/copy"}
    assert catalog.status().photos == 1


def test_moves_keep_the_photo_also_when_names_are_swapped(catalog: Catalog) -> None:
    one, two, three = catalog.analyses.record(
        [analysed("one", "/1"), analysed("two", "/2"), analysed("three", "/3")], MODEL
    )
    catalog.files.move(
        [
            FileMove(Path("/1"), found("/2")),
            FileMove(Path("/2"), found("/1")),
            FileMove(Path("/3"), found("/4", mtime_ns=9)),
            FileMove(Path("/unknown"), found("/5")),
        ]
    )
    holders = {str(file.path): file.photo_id for file in catalog.files.under(Path("/"))}
    assert holders == {"/2": one, "/1": two, "/4": three}
    moved = catalog.files.at(Path("/4"))
    assert moved is not None and moved.stamp.mtime_ns == 9


def test_a_deleted_file_keeps_its_photo_for_a_while(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/1")], MODEL)
    catalog.files.mark_deleted([Path("/1"), Path("/never-seen")])
    record = catalog.photos.by_hash("one")
    assert record is not None and record.id == photo and record.files == ()
    assert catalog.photos.at(Path("/1")) is None
    assert list(catalog.photos.select(PhotoFilter())) == []
    catalog.files.link([FileLink(found("/elsewhere"), photo)])
    assert list(catalog.photos.select(PhotoFilter())) == [photo]


def test_a_file_that_comes_back_is_present_again(catalog: Catalog) -> None:
    catalog.analyses.record([analysed("one", "/1")], MODEL)
    catalog.files.mark_deleted([Path("/1")])
    catalog.files.restamp([found("/1", mtime_ns=3)])
    file = catalog.files.at(Path("/1"))
    assert file is not None and file.state == FileState.PRESENT and file.stamp.mtime_ns == 3
    later = datetime.now(UTC) + timedelta(days=1)
    assert catalog.analyses.purge(later) == ()


def test_an_unmounted_disk_makes_files_offline_and_never_deleted(catalog: Catalog) -> None:
    (photo, _) = catalog.analyses.record(
        [analysed("one", "/disk/1", "/disk/2"), analysed("two", "/diskette/3")], MODEL
    )
    catalog.folders.remember(Path("/disk"), 3)
    catalog.files.mark_deleted([Path("/disk/2")])
    assert catalog.folders.set_online(Path("/disk"), False) == 1
    states = {str(file.path): file.state for file in catalog.files.under(Path("/"))}
    assert states == {
        "/disk/1": FileState.OFFLINE,
        "/disk/2": FileState.DELETED,
        "/diskette/3": FileState.PRESENT,
    }
    assert catalog.folders.all()[0].online is False
    assert photo in catalog.photos.select(PhotoFilter())
    assert catalog.folders.set_online(Path("/disk"), True) == 1
    assert catalog.files.at(Path("/disk/2")).state == FileState.DELETED  # type: ignore[union-attr]


def test_present_files_come_before_offline_ones(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/a/1", "/b/2")], MODEL)
    catalog.folders.set_online(Path("/a"), False)
    (record,) = catalog.photos.many([photo])
    assert record.files == (Path("/b/2"), Path("/a/1"))


def test_folders_are_remembered_and_forgotten(catalog: Catalog) -> None:
    catalog.folders.remember(Path("/p"), 1)
    catalog.folders.remember(Path("/p"), 2)
    assert [(str(f.path), f.device, f.online) for f in catalog.folders.all()] == [("/p", 2, True)]
    assert catalog.folders.forget(Path("/p")) == 0
    assert catalog.folders.forget(Path("/p")) is None


def test_forgetting_a_folder_leaves_what_other_folders_hold(catalog: Catalog) -> None:
    for folder in ("/p", "/p/inside", "/pp"):
        catalog.folders.remember(Path(folder))
    paths = ("/p/1", "/p/inside/2", "/pp/3")
    catalog.analyses.record([analysed(path, path) for path in paths], MODEL)
    catalog.files.fail([FileFailure(found("/p/broken"), "truncated")])
    assert catalog.folders.forget(Path("/p")) == 1
    states = {path: catalog.files.at(Path(path)).state for path in paths}  # type: ignore[union-attr]
    assert states == {
        "/p/1": FileState.DELETED,
        "/p/inside/2": FileState.PRESENT,
        "/pp/3": FileState.PRESENT,
    }
    assert catalog.files.failures() == ()
    catalog.folders.remember(Path("/p"))
    assert catalog.folders.forget(Path("/p/inside")) == 0
    assert catalog.files.at(Path("/p/inside/2")).state == FileState.PRESENT  # type: ignore[union-attr]


def test_a_failure_lists_its_reason_until_the_file_is_read_or_gone(catalog: Catalog) -> None:
    catalog.analyses.record([analysed("one", "/1")], MODEL)
    catalog.files.fail([FileFailure(found("/1"), "truncated"), FileFailure(found("/2"), "empty")])
    failures = {str(file.path): (file.failure, file.photo_id) for file in catalog.files.failures()}
    assert failures == {"/1": ("truncated", None), "/2": ("empty", None)}
    assert catalog.status().failures == 2
    catalog.analyses.record([analysed("mended", "/1")], MODEL)
    catalog.files.mark_deleted([Path("/2")])
    assert catalog.files.failures() == ()
    assert catalog.files.at(Path("/2")) is None


def test_purging_forgets_photos_gone_for_long_but_never_tags_of_people(catalog: Catalog) -> None:
    gone, tagged, copied, replaced = catalog.analyses.record(
        [
            analysed("gone", "/gone"),
            analysed("tagged", "/tagged"),
            analysed("copied", "/copied", "/kept"),
            analysed("replaced", "/same"),
        ],
        MODEL,
    )
    catalog.analyses.record([analysed("newer", "/same")], MODEL)
    catalog.tags.tag([tagged], "holiday")
    catalog.files.mark_deleted([Path("/gone"), Path("/tagged"), Path("/copied")])
    before = catalog.analyses.state(MODEL)
    assert catalog.analyses.purge(datetime.now(UTC) - timedelta(days=1)) == (replaced,)
    assert catalog.analyses.purge(datetime.now(UTC) + timedelta(days=1)) == (gone,)
    assert len(catalog.photos.many([tagged, copied])) == 2
    after = catalog.analyses.state(MODEL)
    assert after.count == before.count - 2 and after.generation != before.generation
    assert catalog.photos.by_hash("gone") is None and catalog.files.at(Path("/gone")) is None
