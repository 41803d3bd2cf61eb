"""What an examination says, and that it leaves everything as it was."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cared import Cared, notes, problems

from photoindex.catalog.database import Database
from photoindex.catalog.migrate import REVISION, upgrade
from photoindex.health import models, watched
from photoindex.health.examination import examine, opened_for_reading
from photoindex.health.machine import check_faiss
from photoindex.health.reading import Look
from photoindex.health.records import Verdict
from photoindex.library import Library
from photoindex.tagger import no_progress
from ram_tagger.sources import BUNDLED as MODEL


def look(cared: Cared, quick: bool = False) -> Look:
    return Look(cared.settings, quick, no_progress)


@pytest.mark.parametrize("quick", [False, True])
def test_a_sound_library_is_found_sound_and_left_as_it_is(cared: Cared, quick: bool) -> None:
    before = cared.state()
    report = cared.examine(quick)
    assert report.sound
    assert not problems(report)
    assert cared.state() == before


def test_repair_of_a_sound_library_does_nothing(cared: Cared) -> None:
    before = cared.state()
    assert cared.repair().mended == ()
    assert cared.state() == before


def test_a_missing_library_is_not_made(tmp_path: Path) -> None:
    cared = Cared(tmp_path / "none" / "library", tmp_path)
    found = problems(cared.examine())["library folder"]
    assert "photoindex watch FOLDER" in found.advice
    assert not cared.folder.parent.exists()


def test_a_library_at_work_is_looked_at_as_well(cared: Cared) -> None:
    with Library.open(cared.settings) as library:
        library.tag([next(cared.photos.rglob("*.jpg"))], "new")
        assert (cared.folder / "catalog.db-wal").exists()
        assert cared.examine().sound


def test_an_older_library_is_told_and_upgraded_by_repair_alone(tmp_path: Path) -> None:
    cared = Cared(tmp_path / "library", tmp_path)
    cared.folder.mkdir(mode=0o700)
    database = Database(cared.database)
    upgrade(database, "0001")
    database.close()
    before = cared.state()
    (told,) = notes(cared.examine(), "tables")
    assert "upgrades" in told.advice
    assert cared.state() == before
    report = cared.repair()
    assert report.sound
    assert any(one.found == f"revision {REVISION}" for one in report.findings)


def test_a_newer_library_is_told_and_left_alone(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = cared.state()
    assert problems(cared.examine())["tables"].advice == "upgrade photoindex"
    cared.repair()
    assert cared.state() == before


@pytest.mark.parametrize("quick", [False, True])
def test_a_damaged_database_is_told_how_to_restore_and_not_touched(
    cared: Cared, quick: bool
) -> None:
    content = bytearray(cared.database.read_bytes())
    for page in range(8, len(content) // 4096 - 8, 3):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    cared.database.write_bytes(content)
    found = problems(cared.examine(quick))["pages"]
    assert "photoindex restore" in found.advice
    before = cared.database.read_bytes()
    assert not cared.repair().sound
    assert cared.database.read_bytes() == before


def test_no_database_at_all_is_told(cared: Cared) -> None:
    cared.database.write_bytes(b"not a database, whatever its name says" * 200)
    assert "photoindex restore" in problems(cared.examine())["pages"].advice


def test_photos_that_wait_are_notes(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM analyses WHERE id = (SELECT min(id) FROM analyses)")
    (told,) = notes(cared.examine(), "photos")
    assert told.found == "1 photo not analysed yet"


def test_photos_that_nothing_leads_to_are_notes(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("DELETE FROM files WHERE photo_id = (SELECT max(photo_id) FROM files)")
    (told,) = notes(cared.examine(), "photos")
    assert told.found == "1 photo that no file holds"


def test_a_folder_that_is_not_there_is_offline(cared: Cared, tmp_path: Path) -> None:
    with cared.sql() as connection:
        connection.execute("UPDATE folders SET path = ?", (str(tmp_path / "usb").encode(),))
    (told,) = notes(cared.examine(), "watched folder")
    assert str(tmp_path / "usb") in told.found


@pytest.mark.parametrize(
    ("watches", "verdict"),
    [("2", Verdict.PROBLEM), ("4", Verdict.NOTE), ("1000", Verdict.OK)],
)
def test_limits_of_notices_are_held_against_the_folders(
    cared: Cared, tmp_path: Path, watches: str, verdict: Verdict
) -> None:
    for name, value in (("watches", watches), ("instances", "128")):
        (tmp_path / f"max_user_{name}").write_text(f"{value}\n")
    (tmp_path / "max_queued_events").write_text("16384\n")
    with opened_for_reading(look(cared)) as opened:
        (told,) = watched.check_notices(opened, tmp_path)
    assert told.verdict is verdict
    assert told.found.startswith("4 folders")


@pytest.mark.parametrize(
    ("builds", "verdict"),
    [
        ({"faiss-cpu": "1.9"}, Verdict.OK),
        ({}, Verdict.PROBLEM),
        ({"faiss-cpu": "1.9", "faiss-gpu-cu12": "1.9"}, Verdict.PROBLEM),
    ],
)
def test_one_build_of_faiss_is_right(builds: dict[str, str], verdict: Verdict) -> None:
    assert check_faiss(builds).verdict is verdict


def test_a_model_that_is_not_here_is_a_problem(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("UPDATE models SET name = 'lost'")
        connection.execute("UPDATE settings SET value = 'lost' WHERE key = 'model'")
    assert "photoindex models pull lost" in problems(cared.examine())["model"].advice


@pytest.mark.parametrize("quick", [False, True])
def test_a_model_file_that_was_cut_short_is_found(cared: Cared, quick: bool) -> None:
    folder = cared.settings.models / "mine"
    shutil.copytree(MODEL, folder)
    settings = replace(cared.settings, model="mine")
    assert examine(settings, quick).sound
    network = folder / "model.safetensors"
    network.write_bytes(network.read_bytes()[:-100])
    assert "model.safetensors" in problems(examine(settings, quick))["model"].found


def test_a_model_that_has_become_another_is_found(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("UPDATE models SET model_id = 'sketch-of-yesterday'")
    found = problems(cared.examine())["model"]
    assert "sketch-of-yesterday" in found.found
    with opened_for_reading(look(cared)) as opened:
        assert not models.ids_here(opened.look, opened) & {"sketch-of-yesterday"}
