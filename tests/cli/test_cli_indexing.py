"""`photoindex index`, `status` and `failures`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from typed import BUNDLED, ODD_NAME, Command


def test_indexing_tells_what_it_did(empty: Command, pictures: Path) -> None:
    first = empty("index", pictures / "zoo", "--model", "sketch")
    photos = len(list((BUNDLED / "pictures/zoo").iterdir()))
    assert first.err == f"{photos} photos analysed, 1 file of known photos\n"
    assert first.raw == b""
    again = empty("index", pictures / "zoo", "--json")
    assert again.err == "0 photos analysed\n"
    assert again.document == dict.fromkeys(
        ("analysed", "linked", "failed", "deleted", "unsettled", "moved", "back", "offline"), 0
    )


def test_copies_are_analysed_once_however_many_there_are(empty: Command, tmp_path: Path) -> None:
    for number in range(30):  # several batches, read ahead of the network
        shutil.copy(BUNDLED / "pictures/home/dog.jpg", tmp_path / f"{number}.jpg")
    told = empty("index", tmp_path, "--model", "sketch")
    assert told.err == "1 photo analysed, 29 files of known photos\n"


def test_without_folders_those_of_last_time_are_looked_at(
    photoindex: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    photoindex("index", folder)
    shutil.copy(BUNDLED / "pictures/home/dog.jpg", folder)
    assert "1 file of known photos" in photoindex("index").err


def test_a_forgotten_folder_is_found_no_more_until_it_is_indexed_again(
    empty: Command, tmp_path: Path
) -> None:
    shutil.copytree(BUNDLED / "pictures/home", tmp_path / "home")
    shutil.copytree(BUNDLED / "pictures/zoo", tmp_path / "zoo")
    empty("index", tmp_path / "home", tmp_path / "zoo", "--model", "sketch")
    empty("tag", tmp_path / "home/dog.jpg", "Rex")
    files = len(list((tmp_path / "home").iterdir()))

    told = empty("forget", tmp_path / "home", "--json")
    assert told.err == f"forgot {tmp_path / 'home'} with {files} files\n"
    assert told.document["files"] == files
    assert not empty("search", f"in:{tmp_path / 'home'}", "--paths", code=1).raw
    assert str(tmp_path / "home") not in empty("status").out
    assert empty("index").err == "0 photos analysed\n"
    empty("search", "tag:Rex", code=1)

    assert empty("index", tmp_path / "home").err == f"{files} back\n"
    assert empty("search", "tag:Rex", "--paths").lines == [str(tmp_path / "home/dog.jpg")]


def test_a_folder_that_was_never_watched_cannot_be_forgotten(
    indexed: Command, pictures: Path
) -> None:
    told = indexed("forget", pictures / "zoo", code=1)
    assert told.err == (
        f'photoindex: no watched folder {pictures / "zoo"}: "photoindex status" lists them\n'
    )


def test_names_can_be_left_out(empty: Command, pictures: Path) -> None:
    left_out = ("--exclude", "zoo", "--exclude", "*.jpg")
    empty("index", pictures, "--model", "sketch", *left_out)
    found = empty("search", f"in:{pictures}", "-n", "100", "--paths").raw
    assert b"home/desk.png" in found
    assert b".jpg" not in found and b"zoo" not in found


def test_status_counts_everything(indexed: Command, pictures: Path) -> None:
    told = dict(line.split("  ", 1) for line in indexed("status").lines)
    table = {name.strip(): value.strip() for name, value in told.items()}
    photos = sum(path.is_file() for path in (BUNDLED / "pictures").rglob("*")) + 1
    assert table["photos"] == str(photos)
    assert table["files"] == f"{photos + 2} present"
    assert table["unreadable files"] == "1"
    assert table["folder"] == str(pictures)
    assert table["model"] == f"sketch: {photos} photos analysed, in use"
    assert table["awaiting analysis"] == "0"


def test_status_as_json(indexed: Command, pictures: Path) -> None:
    document = indexed("status", "--json").document
    assert set(document) == {
        "library",
        "folders",
        "photos",
        "files",
        "failures",
        "models",
        "awaiting",
        "tags",
        "concepts",
        "database_bytes",
        "token_bytes",
    }
    assert document["folders"] == [{"path": str(pictures), "path_bytes": None, "online": True}]
    assert document["files"] == {
        "present": document["photos"] + 2,
        "offline": 0,
        "deleted": 0,
    }
    (model,) = document["models"]
    assert (model["name"], model["active"]) == ("sketch", True)


def test_failures_name_file_and_reason(indexed: Command, pictures: Path) -> None:
    (line,) = indexed("failures").lines[1:]
    assert line.startswith(str(pictures / "broken.jpg"))
    (failure,) = indexed("failures", "--json").document["failures"]
    assert failure["path"] == str(pictures / "broken.jpg")
    assert failure["reason"] in line


def test_no_failures_is_good_news(empty: Command, pictures: Path) -> None:
    empty("index", pictures / "zoo", "--model", "sketch")
    good = empty("failures")
    assert (good.raw, good.err) == (b"", "no failures: every picture could be read\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["index", "/no/such folder"], 2, "no folder /no/such folder"),
        (["index"], 2, "name one"),
        (["index", str(BUNDLED / "concepts.json")], 2, "is a file"),
        (["index", "--device", "abacus", "."], 2, "auto, cpu, mps, cuda"),
        (["watch", "--settle", "-1", "."], 2, "settle"),
        (["index", "--bogus"], 2, "--bogus"),
        (["index", ".", "--model", "nonesuch"], 3, "nonesuch"),
        (["index", ".", "--model", "./nowhere"], 3, "nowhere"),
        (["status"], 3, "photoindex watch FOLDER"),
        (["search", "cat"], 3, "photoindex watch FOLDER"),
        (["nonesuch"], 2, "nonesuch"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    empty: Command, words: list[str], code: int, message: str
) -> None:
    outcome = empty(*words, code=code)
    assert outcome.raw == b""
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_real_process_says_the_same(empty: Command) -> None:
    outcome = empty.spawn("index", "/no/such folder", code=2)
    assert outcome.raw == b""
    assert outcome.err.startswith("photoindex: no folder /no/such folder")
    assert outcome.err.count("\n") == 1


def test_names_of_any_bytes_are_indexed(indexed: Command, pictures: Path) -> None:
    found = indexed("search", "in:" + str(pictures), "-n", "100", "-0").raw.split(b"\0")
    assert os.fsencode(pictures / ODD_NAME) in found


def test_a_renamed_folder_counts_as_moved(empty: Command, tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "pictures/winter", tmp_path / "all/winter")
    empty("index", tmp_path / "all", "--model", "sketch")
    (tmp_path / "all/winter").rename(tmp_path / "all/snow")
    assert empty("index").err == "2 moved\n"


def test_an_absent_disk_is_offline_and_then_back(empty: Command, tmp_path: Path) -> None:
    disk, away = tmp_path / "disk", tmp_path / "away"
    shutil.copytree(BUNDLED / "pictures/winter", disk)
    empty("index", disk, "--model", "sketch")
    disk.rename(away)
    gone = empty("index", "--json")
    assert gone.err.endswith("2 offline\n")
    assert gone.document["offline"] == 2
    away.rename(disk)
    assert empty("index").err == "2 back\n"
