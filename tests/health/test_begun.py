"""A library whose first run was killed before it had tables, or half-way through making them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cared import Cared, notes, problems

from photoindex.catalog.migrate import REVISION

KILLED_WHILE_MAKING_TABLES = """
import os, signal, sys
from pathlib import Path
from photoindex.catalog import scripts
from photoindex.catalog.catalog import Catalog

scripts._check_references = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Catalog.open(Path(sys.argv[1]))
"""


def empty_file(path: Path) -> None:
    path.touch(mode=0o600)


def no_tables(path: Path) -> None:
    """Killed before the tables that it was making were committed."""
    words = [sys.executable, "-c", KILLED_WHILE_MAKING_TABLES, str(path)]
    ended = subprocess.run(words, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.fixture(params=[empty_file, no_tables])
def begun(indexed: Cared, tmp_path: Path, request: pytest.FixtureRequest) -> Cared:
    cared = Cared(tmp_path / "library", indexed.photos)
    cared.folder.mkdir(mode=0o700)
    request.param(cared.database)
    return cared


def test_it_is_told_to_be_only_begun(begun: Cared) -> None:
    before = begun.state()
    for quick in (False, True):
        report = begun.examine(quick)
        assert report.sound and not problems(report)
        (told,) = notes(report, "tables")
        assert "only begun" in told.found
        assert "photoindex index" in told.advice
    after = begun.state()
    for state in (before, after):
        state.pop("catalog.db-shm", None)  # SQLite's own, used by any reader where there is a log
    assert after == before


def test_repair_leaves_it_to_the_next_run(begun: Cared) -> None:
    assert begun.repair().sound
    assert notes(begun.examine(), "tables")


def test_the_next_run_goes_on(begun: Cared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOINDEX_MODEL", "sketch")
    program = Path(sys.executable).with_name("photoindex")
    words = [str(program), "--library", str(begun.folder), "index", str(begun.photos)]
    ended = subprocess.run(words, capture_output=True, timeout=240, env=os.environ)
    assert ended.returncode == 0, ended.stderr
    report = begun.examine(quick=True)
    assert report.sound
    assert any(one.found == f"revision {REVISION}" for one in report.findings)
    assert begun.found("tag:cat")
