"""How many threads searches take where networks look at photos on the same cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from photoindex.sharing import analysing, being_analysed, share_from_the_start, sharing

assert np.__version__  # what is counted here has to be loaded


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has said anything, and what is said here is forgotten."""
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    del os.environ["OMP_NUM_THREADS"]


def half() -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // 2)


def threads() -> int:
    return max(p["num_threads"] for p in threadpool_info() if p["internal_api"] == "openblas")


def test_a_search_on_its_own_has_all_cores(tmp_path: Path) -> None:
    share_from_the_start(tmp_path)
    assert "OMP_NUM_THREADS" not in os.environ
    before = threads()
    with sharing(tmp_path):
        assert threads() == before


def test_a_search_beside_an_analysis_has_half(tmp_path: Path) -> None:
    before = threads()
    with analysing(tmp_path):
        share_from_the_start(tmp_path)
        assert os.environ.pop("OMP_NUM_THREADS") == str(half())
        with sharing(tmp_path):
            assert threads() == half()
    assert threads() == before


def test_searches_that_overlap_give_the_cores_back_when_the_last_one_ends(tmp_path: Path) -> None:
    before = threads()
    first, second = sharing(tmp_path), sharing(tmp_path)
    with analysing(tmp_path):
        first.__enter__()
        second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == half()
    second.__exit__(None, None, None)
    assert threads() == before


def test_it_is_analysed_until_the_last_one_is_done(tmp_path: Path) -> None:
    with analysing(tmp_path):
        with analysing(tmp_path):
            assert being_analysed(tmp_path)
        assert being_analysed(tmp_path)
    assert not being_analysed(tmp_path)


def test_one_that_was_killed_analyses_nothing(tmp_path: Path) -> None:
    words = (
        "import sys, time; from pathlib import Path; from photoindex.sharing import analysing\n"
        "with analysing(Path(sys.argv[1])):\n    print('begun', flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", words, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        assert being_analysed(tmp_path)
        process.kill()
    assert not being_analysed(tmp_path)


def test_the_users_word_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = threads()
    with analysing(tmp_path), sharing(tmp_path):
        share_from_the_start(tmp_path)
        assert threads() == before
    assert os.environ["OMP_NUM_THREADS"] == "7"
