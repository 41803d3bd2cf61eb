"""A search beside a running `serve` or `watch`: the same answer, without the work."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from neighbours import ODD_NAME, PICTURES, Place, until

FREE = ("a", "horse", "near", "a", "castle")


@pytest.mark.parametrize(
    "words",
    [
        ("cat",),
        ("猫", "--json"),
        ("tag:cat", "-tag:sofa", "after:2020", "--why"),
        ("dog", "-0"),
        ("in:/", "-n", "100", "--json"),
        ("in:/", "-n", "100", "--paths"),
        ("in:/", "-n", "100"),
        FREE,
        (*FREE, "--json"),
        (*FREE, "--why", "--all"),
        (*FREE, "--rank", "clip", "--json"),
        (*FREE, "--rank", "decoder", "--min-probability", "0.3", "-n", "5", "--json"),
        ("quarterly tax report spreadsheet",),
        ("cat -tag:cat",),
        ("cat -tag:cat", "--json"),
        ("tag:cta",),
        ("after:yesterday",),
        ('"open',),
        ("今天",),
    ],
)
def test_a_lent_answer_is_the_answer(lent: Place, words: tuple[str, ...]) -> None:
    answer = lent.search(*words)
    here = lent.search(*words, "--device", "cpu")  # what is said of the model is for oneself
    assert answer.said == here.said
    assert answer.lent and not here.lent


def test_a_lent_search_imports_next_to_nothing(lent: Place) -> None:
    names = "numpy sqlite3 typer pydantic rich torch faiss platformdirs tomllib logging".split()
    spy = f"import atexit; atexit.register(lambda: print({{*sys.modules}} & {{*{names}}}))"
    for words in (FREE, ("cat", "--why"), ("cat", "--json")):
        assert lent.search(*words, first=spy).out.splitlines()[-1] == b"set()"


def test_names_of_any_bytes_arrive(lent: Place, pictures: Path) -> None:
    answer = lent.search("in:/", "-n", "100", "-0")
    assert answer.lent
    assert os.fsencode(pictures / ODD_NAME) in answer.out.split(b"\0")


def test_folders_are_those_of_whoever_asks(lent: Place, pictures: Path) -> None:
    for words in (("in:zoo",), ("in:.", "lion"), ("in:~/pictures/zoo",), ("in:zoo/../home", "cat")):
        answer = lent.within(pictures).search(*words, "--paths")
        here = lent.within(pictures).search(*words, "--paths", "--device", "cpu")
        assert answer.lent and answer.code == 0
        assert answer.said == here.said


def test_an_example_is_the_file_of_whoever_asks(
    lent: Place, pictures: Path, tmp_path: Path
) -> None:
    beside = lent.within(pictures / "city")
    answer = beside.search("--like", "taxi.jpg", "-n", "1", "--paths")
    assert answer.lent
    assert answer.out.rstrip() == os.fsencode(pictures / "city/taxi.jpg")
    new = tmp_path / "new.webp"
    shutil.copy(PICTURES / "zoo/panda.webp", new)
    with new.open("ab") as file:
        file.write(b"unknown to the library")
    answer, here = (lent.search("--like", new, *of) for of in ((), ("--device", "cpu")))
    assert answer.said == here.said
    assert answer.lent and not here.lent


def test_an_example_that_only_the_asker_can_open_is_its_own(lent: Place, pictures: Path) -> None:
    taxi = str(pictures / "city/taxi.jpg")
    opened = f"import os; os.dup2(os.open({taxi!r}, os.O_RDONLY), 99)"
    answer = lent.search("--like", "/dev/fd/99", "-n", "1", "--paths", first=opened)
    assert answer.out.rstrip() == os.fsencode(taxi)
    broken = lent.search("--like", "no such file.jpg")
    assert broken.code == 3 and not broken.lent
    assert broken.said == lent.search("--like", "no such file.jpg", "--device", "cpu").said


def test_only_its_owner_may_connect(lent: Place) -> None:
    found = lent.socket.lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(lent.library.stat().st_mode) == 0o700


@pytest.mark.parametrize("command", ["serve", "watch"])
@pytest.mark.parametrize("number", [2, 15])
def test_nothing_is_left_behind(place: Place, tmp_path: Path, command: str, number: int) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with place.served() if command == "serve" else place.watched(folder) as lending:
        assert place.socket.is_socket()
        assert place.search("cat").lent
        assert lending.stop(number) == 0
    assert not place.socket.exists()
    assert not place.search("cat").lent


def test_new_photos_are_found_at_once(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with place.watched(folder) as watching:
        assert place.search(*FREE).lent
        copied = Path(shutil.copy(PICTURES / "holidays/castle-visit.jpg", folder / "new.jpg"))
        with copied.open("ab") as file:
            file.write(b"so that it is another photo")
        watching.says("1 photo analysed")
        answer = place.search(*FREE, "--paths")
        assert answer.lent
        assert os.fsencode(copied) in answer.out.splitlines()


def test_what_others_index_is_found_at_once(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with place.served():
        assert place.search("in:" + str(folder)).code == 1
        shutil.copytree(PICTURES / "winter", folder)
        with (folder / "rabbit.jpg").open("ab") as file:
            file.write(b"so that it is another photo")
        assert place.run("index", folder).returncode == 0
        answer = place.search("a rabbit in the snow", f"in:{folder}", "--all", "--paths")
        assert answer.lent
        assert os.fsencode(folder / "rabbit.jpg") in answer.out.splitlines()


def test_a_catalog_that_takes_the_place_of_another_is_searched(
    place: Place, pictures: Path, tmp_path: Path
) -> None:
    other = replace(place, library=Path(shutil.copytree(place.library, tmp_path / "other")))
    assert other.run("forget", pictures).returncode == 0
    with place.served():
        before = place.search("in:/", "-n", "100", "--paths")
        (other.library / "catalog.db").replace(place.library / "catalog.db")
        after = place.search("in:/", "-n", "100", "--paths")
        assert before.lent and after.lent
        assert before.out and not after.out


def test_one_process_a_library_lends(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with place.watched(folder) as watching:
        second = place.run("serve")
        assert second.returncode == 3
        assert f"already served by process {watching.process.pid} on ".encode() in second.stderr
        assert second.stderr.count(b"\n") == 1


def test_a_watcher_may_run_beside_a_server(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with place.served() as serving, place.running("watch", folder) as watching:
        line = watching.says("this watcher answers no searches")
        assert f"already served by process {serving.process.pid} on " in line
        watching.says("caught up: ")
        assert watching.stop() == 0
        assert place.search("cat").lent


def test_lending_can_be_switched_off(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with place.having(PHOTOINDEX_LEND="no").watched(folder):
        assert not place.socket.exists()
        assert place.search("cat").said == place.search("cat", "--device", "cpu").said


def test_a_long_path_is_no_hindrance(place: Place, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a folder of a long name"] * 6)
    deep.mkdir(parents=True)
    place.library.rename(deep / "library")
    moved = Place(deep / "library", place.environment)
    with moved.served() as serving:
        assert moved.search("cat").lent is (sys.platform == "linux")
        assert serving.stop() == 0


def test_a_folder_that_others_write_to_is_no_place_to_answer_from(
    place: Place, tmp_path: Path
) -> None:
    place.library.chmod(0o770)
    refused = place.run("serve")
    assert refused.returncode == 3
    assert b"chmod 700" in refused.stderr and refused.stderr.count(b"\n") == 1
    folder = tmp_path / "empty"
    folder.mkdir()
    with place.running("watch", folder) as watching:
        watching.says("this watcher answers no searches")
        watching.says("caught up: ")
        assert watching.stop() == 0


def test_the_watcher_goes_on_for_searches_of_another_time_zone(lent: Place) -> None:
    abroad = lent.having(TZ="Asia/Tokyo").search("after:2020")
    assert not abroad.lent and abroad.code == 0
    until(lambda: lent.search("after:2020").lent, "it lends no more")
