"""Nobody but the owner gets at a library, and nobody is told of it: no network, no telemetry."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from typed import Command

from photoindex.sharing import analysing

WATCHDOG = """
import os, sys

def refuse(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        tell(f"{event} {args}")
    if event in ("socket.connect", "socket.bind") and not isinstance(args[1], (str, bytes)):
        tell(f"{event} {args[1]}")

def tell(what):
    with open(os.environ["TOLD"], "a") as file:
        file.write(what + "\\n")
    raise RuntimeError(what)

sys.addaudithook(refuse)
with open(os.environ["TOLD"] + ".here", "a") as file:
    file.write("here\\n")
"""


@pytest.fixture
def open_handed(empty: Command) -> Command:
    """A folder that others may enter, and no umask that would take permissions away."""
    empty.library.mkdir(parents=True)
    empty.library.chmod(0o755)
    return empty


def run_without_umask(command: Command, *words: str | Path) -> None:
    called = [command.program, *command.arguments(words)]
    ended = subprocess.run(called, capture_output=True, umask=0, timeout=120)
    assert ended.returncode == 0, ended.stderr


def modes(library: Path) -> dict[str, int]:
    return {
        str(path.relative_to(library)): stat.S_IMODE(path.lstat().st_mode)
        for path in library.rglob("*")
    }


def test_every_file_and_socket_of_a_library_is_its_owners_alone(
    open_handed: Command, pictures: Path, tmp_path: Path
) -> None:
    concepts = tmp_path / "concepts.json"
    concepts.write_text('{"big cat": ["a lion"]}', encoding="utf-8")
    run_without_umask(open_handed, "index", pictures / "winter", "--model", "sketch")
    run_without_umask(open_handed, "add-concept", concepts)
    run_without_umask(open_handed, "search", "a snowman in winter", "--all")
    library = open_handed.library
    called = [open_handed.program, *open_handed.arguments(("watch", pictures / "zoo"))]
    watcher = subprocess.Popen(called, umask=0, stderr=subprocess.DEVNULL)
    seen: dict[str, int] = {}
    try:
        end = time.monotonic() + 60
        while not {"search.sock", "watch.json"} <= seen.keys():
            assert time.monotonic() < end and watcher.poll() is None, seen
            seen |= modes(library)
            time.sleep(0.05)
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.wait(60)
    umask = os.umask(0)
    try:
        with analysing(library):
            seen |= modes(library)
    finally:
        os.umask(umask)
    assert {name: mode for name, mode in seen.items() if mode & 0o077} == {}
    assert any(name.startswith("vectors-") for name in seen)
    assert {"catalog.db", "catalog.db-wal", "watch.lock", "analysing.lock"} <= seen.keys()


def test_a_library_made_anew_is_in_a_folder_of_its_owners(empty: Command, pictures: Path) -> None:
    run_without_umask(empty, "index", pictures / "winter", "--model", "sketch")
    assert stat.S_IMODE(empty.library.stat().st_mode) == 0o700


def test_nothing_is_sent_anywhere(empty: Command, pictures: Path, tmp_path: Path) -> None:
    """Every process of a command is looked at, decoders included: whatever asks for an address."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(WATCHDOG, encoding="utf-8")
    concepts = tmp_path / "concepts.json"
    concepts.write_text('{"big cat": ["a lion"]}', encoding="utf-8")
    told = tmp_path / "told"
    environment = {**os.environ, "PYTHONPATH": str(hook), "TOLD": str(told)}
    for words in (
        ("index", pictures / "winter", "--model", "sketch"),
        ("add-concept", concepts),
        ("search", "a snowman in winter", "--all"),
        ("search", "--like", pictures / "zoo/lions.jpg", "--all"),
        ("tags",),
        ("doctor",),
        ("models",),
    ):
        called = [empty.program, *empty.arguments(words)]
        ended = subprocess.run(called, env=environment, capture_output=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
    assert not told.exists(), told.read_text()
    assert len((tmp_path / "told.here").read_text().splitlines()) > 7  # decoders as well
