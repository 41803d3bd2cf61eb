"""`photoindex doctor` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cared import Cared

PROGRAM = Path(sys.executable).with_name("photoindex")


def doctor(cared: Cared, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), "--library", str(cared.folder), "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_a_sound_library_ends_with_zero_and_a_line_a_check(cared: Cared) -> None:
    ended = doctor(cared)
    assert ended.returncode == 0, ended
    assert ended.stderr == "no problem\n"
    assert "\x1b" not in ended.stdout
    starts = {line.split()[0] for line in ended.stdout.splitlines()}
    assert starts <= {"ok", "note", "->"}
    assert any("photos' times" in line for line in ended.stdout.splitlines())


def test_a_problem_ends_with_three_until_it_is_mended(cared: Cared) -> None:
    with cared.sql() as connection:
        connection.execute("DELETE FROM photo_chunks")
    ended = doctor(cared, "--quick", "--json")
    assert ended.returncode == 3
    document = json.loads(ended.stdout)
    assert set(document) == {"sound", "findings", "mended"}
    assert not document["sound"]
    (wrong,) = [one for one in document["findings"] if one["verdict"] == "problem"]
    assert set(wrong) == {"check", "verdict", "found", "advice", "mendable"}
    assert wrong["mendable"]

    mended = doctor(cared, "--quick", "--repair")
    assert mended.returncode == 0, mended
    assert "mended: times" in mended.stderr
    assert doctor(cared, "--quick").returncode == 0


def test_a_missing_library_ends_with_three(tmp_path: Path) -> None:
    ended = doctor(Cared(tmp_path / "none", tmp_path), "--quick")
    assert ended.returncode == 3
    assert "no library in" in ended.stdout
    assert not (tmp_path / "none").exists()
