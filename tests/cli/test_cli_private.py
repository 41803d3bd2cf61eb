"""Nobody but the owner gets at a library, and nobody is told of it: no network, no telemetry."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typed import Command

from photoindex.sharing import analysing

WATCHDOG = """
import os, sys

def refuse(event, args):
    if event == "socket.__new__" and args[1] not in (-1, 1):  # 1: AF_UNIX, -1: of one that is there
        tell(f"a socket of family {args[1]}")
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        tell(f"{event} {args}")
    if event in ("socket.connect", "socket.bind") and not str(args[1]).endswith("/search.sock"):
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


@dataclass(frozen=True, slots=True)
class Watched:
    """Commands of which every process is looked at, decoders included.

    told: whatever asked for an address or for a socket that is no Unix socket; here: a line for
    each process.
    """

    command: Command
    told: Path
    hook: Path

    @property
    def here(self) -> int:
        return len(self.told.with_name(self.told.name + ".here").read_text().splitlines())

    def run(self, *words: str | Path) -> bytes:
        ended = subprocess.run(
            self._called(words), env=self._environment(), capture_output=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @contextlib.contextmanager
    def answering(self, *words: str | Path) -> Iterator[None]:
        """While a command goes on that answers searches; then it is stopped in order."""
        process = subprocess.Popen(
            self._called(words), env=self._environment(), stderr=subprocess.PIPE
        )
        try:
            end = time.monotonic() + 60
            while not (self.command.library / "search.sock").exists():
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            _, remarks = process.communicate(timeout=60)
        assert process.returncode == 0 and b"Traceback" not in remarks, remarks

    def _called(self, words: tuple[str | Path, ...]) -> list[str]:
        return [self.command.program, *self.command.arguments(words)]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.hook), "TOLD": str(self.told)}


@pytest.fixture
def watched(empty: Command, tmp_path: Path) -> Watched:
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(WATCHDOG, encoding="utf-8")
    return Watched(empty, tmp_path / "told", hook)


def test_nothing_is_sent_anywhere(watched: Watched, pictures: Path, tmp_path: Path) -> None:
    """By commands that end; the fixture says what is looked at."""
    concepts = tmp_path / "concepts.json"
    concepts.write_text('{"big cat": ["a lion"]}', encoding="utf-8")
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("index", pictures / "winter", "--model", "sketch"),
        ("add-concept", concepts),
        ("search", "a snowman in winter", "--all"),
        ("search", "--like", pictures / "zoo/lions.jpg", "--all"),
        ("tags",),
        ("status",),
        ("failures",),
        ("doctor",),
        ("models",),
        ("backup", tmp_path / "photos.backup"),
        ("export", "-o", tmp_path / "photos.jsonl", "--embeddings"),
        ("export", "--format", "csv"),
        ("export", "--format", "xmp", "--dry-run"),
    )
    for words in commands:
        watched.run(*words)
    assert not watched.told.exists(), watched.told.read_text()
    assert watched.here > len(commands)  # decoders as well


def test_what_goes_on_and_answers_searches_sends_nothing_either(
    watched: Watched, pictures: Path, tmp_path: Path
) -> None:
    """`watch` and `serve`; searches reach them through the library's own Unix socket."""
    folder = tmp_path / "winter"
    shutil.copytree(pictures / "winter", folder)
    many = len(list(folder.iterdir()))
    with watched.answering("watch", folder, "--model", "sketch", "--settle", "0.1"):
        _until_analysed(watched, many)
        shutil.copyfile(pictures / "zoo/lions.jpg", folder / "lions.jpg")
        _until_analysed(watched, many + 1)
        assert b"lions.jpg" in watched.run("search", "a lion", "--all", "--paths")
    with watched.answering("serve"):
        assert b"lions.jpg" in watched.run("search", "a lion", "--all", "--paths")
    assert not watched.told.exists(), watched.told.read_text()
    assert watched.here > 4  # the watcher's decoder as well


def _until_analysed(watched: Watched, photos: int) -> None:
    end = time.monotonic() + 60
    while json.loads(watched.run("status", "--json"))["photos"] < photos:
        assert time.monotonic() < end
        time.sleep(0.1)
