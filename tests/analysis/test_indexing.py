"""Catching up with a folder: what is analysed, kept, moved, lost and found again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from photoindex import Library, SearchOptions
from photoindex.errors import NothingFound, UsageError
from photoindex.photo import FileState
from photoindex.sharing import being_analysed


def names(library: Library, path: Path) -> list[str]:
    return [tag.name for tag in library.tags_of(path)]


def test_every_picture_is_analysed_once(library: Library, folder: Path) -> None:
    assert library.index([folder]).analysed == 8
    assert library.index([folder]).analysed == 0
    assert library.status().photos == 8
    assert "lion" in names(library, folder / "lions.jpg")


def test_a_copy_shares_the_analysis(library: Library, folder: Path) -> None:
    library.index([folder])
    shutil.copy(folder / "lions.jpg", folder / "copy.jpg")
    tally = library.index([folder])
    assert (tally.analysed, tally.linked) == (0, 1)
    assert library.photo(folder / "copy.jpg").id == library.photo(folder / "lions.jpg").id


def test_two_copies_in_one_run_are_analysed_once(library: Library, folder: Path) -> None:
    shutil.copy(folder / "lions.jpg", folder / "a copy.jpg")
    assert library.index([folder]).analysed == 8
    assert library.status().photos == 8


def test_a_file_moved_while_nothing_watched_keeps_its_tags(library: Library, folder: Path) -> None:
    library.index([folder])
    library.tag([folder / "lions.jpg"], "favourite")
    (folder / "cats").mkdir()
    (folder / "lions.jpg").rename(folder / "cats" / "two lions.jpg")
    assert library.index([folder]).analysed == 0
    assert "favourite" in names(library, folder / "cats" / "two lions.jpg")
    with pytest.raises(NothingFound):
        library.photo(folder / "lions.jpg")


def test_a_file_moved_to_another_disk_keeps_its_tags(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    library.index([folder])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # As between file systems: copied with a new inode and a new time, then deleted.
    (elsewhere / "lions.jpg").write_bytes((folder / "lions.jpg").read_bytes())
    (folder / "lions.jpg").unlink()
    assert library.index([folder, elsewhere]).analysed == 0
    assert "lion" in names(library, elsewhere / "lions.jpg")


def test_a_deleted_file_leaves_the_results_and_comes_back_unread(
    library: Library, folder: Path
) -> None:
    library.index([folder])
    content = (folder / "lions.jpg").read_bytes()
    (folder / "lions.jpg").unlink()
    assert library.index([folder]).deleted == 1
    assert not library.search("tag:lion").hits
    (folder / "back again.jpg").write_bytes(content)
    assert library.index([folder]).analysed == 0
    assert len(library.search("tag:lion").hits) == 1


def test_a_folder_that_is_not_there_takes_its_photos_offline_not_away(
    library: Library, folder: Path
) -> None:
    library.index([folder])
    folder.rename(folder.with_name("unplugged"))
    assert library.index([folder]).deleted == 0
    assert library.status().files[FileState.OFFLINE] == 8
    assert len(library.search("tag:lion").hits) == 1
    folder.with_name("unplugged").rename(folder)
    assert library.index([folder]).analysed == 0
    assert library.status().files[FileState.PRESENT] == 8


def renumber(library: Library, where: str) -> None:
    """Give disks another device number, as happens when a machine is started again."""
    with closing(sqlite3.connect(library.settings.library / "catalog.db")) as database, database:
        database.execute(f"UPDATE {where}")


def test_a_disk_of_another_number_hides_no_deletion(library: Library, folder: Path) -> None:
    library.index([folder])
    renumber(library, "files SET device = 999")
    renumber(library, "folders SET device = 999")
    (folder / "lions.jpg").unlink()
    assert library.index([folder]).deleted == 1
    assert library.status().files[FileState.OFFLINE] == 0


def test_photos_on_a_disk_mounted_below_the_folder_go_offline_with_it(
    library: Library, folder: Path
) -> None:
    (folder / "stick").mkdir()
    (folder / "lions.jpg").rename(folder / "stick" / "lions.jpg")
    library.index([folder])
    renumber(library, "files SET device = 999 WHERE CAST(path AS TEXT) LIKE '%/stick/%'")
    (folder / "stick" / "lions.jpg").unlink()
    assert library.index([folder]).deleted == 0
    assert library.status().files[FileState.OFFLINE] == 1
    assert "lion" in names(library, folder / "stick" / "lions.jpg")


def test_a_folder_never_seen_is_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        library.index([tmp_path / "typo"])


def test_a_bad_picture_is_recorded_and_read_again_when_it_changes(
    library: Library, folder: Path
) -> None:
    good = (folder / "lions.jpg").read_bytes()
    (folder / "cut off.jpg").write_bytes(good[:700])
    tally = library.index([folder])
    assert (tally.analysed, tally.failed) == (8, 1)
    (failure,) = library.failures()
    assert failure.path.name == "cut off.jpg"
    assert "truncated" in (failure.failure or "")
    assert library.index([folder]).failed == 0  # not tried again while it stays as it is
    (folder / "cut off.jpg").write_bytes(good)
    assert library.index([folder]).linked == 1
    assert library.failures() == ()


def test_any_file_name_works(library: Library, folder: Path) -> None:
    odd = [os.fsdecode(b"caf\xe9 \xff.jpg"), "new\nline.jpg", " spaces .jpg", "'; DROP.jpg"]
    for shade, name in enumerate(odd):
        Image.new("RGB", (40, 40), (60 * shade, 90, 200)).save(folder / name, format="JPEG")
    assert library.index([folder]).analysed == 8 + len(odd)
    for name in odd:
        assert library.photo(folder / name).files == (folder / name,)


def test_a_photo_meets_the_concepts_that_were_there_before_it(
    library: Library, open_library: Callable[..., Library], folder: Path, tmp_path: Path
) -> None:
    concepts = tmp_path / "concepts.json"
    concepts.write_text('{"striped horse": ["a zebra", "a black and white striped animal"]}')
    zebra = folder / "zebra.jpg"
    content = zebra.read_bytes()
    zebra.unlink()
    library.index([folder])
    library.add_concepts(concepts)
    zebra.write_bytes(content)
    library.index([folder])
    before = {tag.name: tag for tag in library.tags_of(zebra, everything=True)}["striped horse"]
    library.remove_concept("striped horse")
    library.add_concepts(concepts)
    after = {tag.name: tag for tag in library.tags_of(zebra, everything=True)}["striped horse"]
    assert after.probability == pytest.approx(before.probability, abs=1e-4)


def test_an_open_library_finds_what_was_added_since_it_last_searched(
    library: Library, folder: Path
) -> None:
    zebra = folder / "zebra.jpg"
    content = zebra.read_bytes()
    zebra.unlink()
    library.index([folder])
    everything = SearchOptions(everything=True)
    assert len(library.search("a striped horse on grass", everything).hits) == 7
    zebra.write_bytes(content)
    library.index([folder])
    assert len(library.search("a striped horse on grass", everything).hits) == 8
    alike = library.search("", SearchOptions(like=zebra, everything=True)).hits
    assert alike[0].photo.files == (zebra,)


def test_a_library_without_photos_answers_with_nothing(library: Library) -> None:
    assert library.search("an umbrella in the rain").hits == ()
    assert library.search("after:2020").hits == ()


def test_a_tag_is_taken_off_by_its_chinese_name(library: Library, folder: Path) -> None:
    library.index([folder])
    library.untag([folder / "lions.jpg"], " 狮子")
    assert "lion" not in names(library, folder / "lions.jpg")


def test_a_run_that_is_stopped_keeps_what_it_did(
    open_library: Callable[..., Library], folder: Path
) -> None:
    stop = threading.Event()

    def stop_soon(what: str, done: int, total: int | None) -> None:
        if what == "analysing" and done >= 2:
            stop.set()

    with open_library(batch_size=2) as library:
        first = library.index([folder], stop_soon, stop)
        assert 2 <= first.analysed < 8
        assert library.index([folder]).analysed == 8 - first.analysed
        assert library.status().photos == 8


def test_where_memory_is_short_photos_are_looked_at_one_by_one(
    library: Library, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "meminfo"
    short.write_text("MemAvailable: 1000 kB\n", encoding="ascii")
    monkeypatch.setattr("ram_tagger.memory._MEMINFO", short)
    assert library.index([folder]).analysed == 8


def test_another_model_analyses_anew_and_then_answers(
    open_library: Callable[..., Library], folder: Path, tmp_path: Path
) -> None:
    words = tmp_path / "big animals.txt"
    words.write_text("# clip: sketch\na lion\t狮子\na panda\na penguin\n", encoding="utf-8")
    with open_library() as library:
        library.index([folder])
        library.tag([folder / "lions.jpg"], "favourite")
        library.models.add(words, "big-animals", lambda what, done, total: None)
        first = library.status().models[0].model_id
    with open_library(model="big-animals") as library:
        assert library.index([folder]).analysed == 8
        status = library.status()
        assert {model.model_id: model.analyses for model in status.models}[first] == 8
        (active,) = [model for model in status.models if model.active]
        assert active.model_id.startswith("clip-zero-shot-sketch-")
        assert "favourite" in names(library, folder / "lions.jpg")
        assert not library.tags_of(folder / "zebra.jpg", everything=True) or all(
            tag.name in {"a lion", "a panda", "a penguin"}
            for tag in library.tags_of(folder / "zebra.jpg")
        )
        ranked = library.search("a snowy scene with a penguin").hits  # by similarity alone
        assert all(hit.evidence.probability is None for hit in ranked)
    with open_library(model=None) as library:  # the library remembers its model
        assert library.model_name == "big-animals"
        assert library.index([folder]).analysed == 0


def test_a_file_that_takes_its_decoder_down_is_recorded_and_the_rest_goes_on(
    library: Library, folder: Path
) -> None:
    """Two megabytes of file that would be more than a gigabyte of picture."""
    Image.new("RGBA", (17_000, 17_000)).save(folder / "bomb.png")
    tally = library.index([folder])
    assert (tally.analysed, tally.failed) == (8, 1)
    (failure,) = library.failures()
    assert failure.path == folder / "bomb.png"
    assert "not enough memory" in (failure.failure or "")


def test_searches_can_see_that_photos_are_being_analysed(library: Library, folder: Path) -> None:
    seen: list[bool] = []

    def look(what: str, done: int, total: int | None) -> None:
        if what == "analysing":
            seen.append(being_analysed(library.settings.library))

    library.index([folder], look)
    assert seen and all(seen)
    assert not being_analysed(library.settings.library)
