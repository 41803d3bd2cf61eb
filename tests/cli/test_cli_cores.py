"""How many threads arithmetic gets where a watcher and searches share the cores."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from photoindex.cli.cores import share_with_networks, share_with_watcher
from photoindex.watch_lock import WATCH_LOCK, hold

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has said anything, and what is said here is forgotten."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        del os.environ[name]


def half() -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // 2)


def said() -> list[str | None]:
    return [os.environ.get(name) for name in VARIABLES]


def test_a_search_on_its_own_has_all_cores(tmp_path: Path) -> None:
    share_with_watcher(tmp_path)
    assert said() == [None, None]


def test_a_search_beside_a_watcher_has_half(tmp_path: Path) -> None:
    with hold(tmp_path / WATCH_LOCK):
        share_with_watcher(tmp_path)
    assert said() == [str(half()), None]


def test_a_watchers_searches_have_half_and_its_networks_all() -> None:
    share_with_networks()
    assert said() == [None, str(half())]


def test_the_users_word_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with hold(tmp_path / WATCH_LOCK):
        share_with_watcher(tmp_path)
        share_with_networks()
    assert said() == ["7", None]
