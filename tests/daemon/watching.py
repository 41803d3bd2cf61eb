"""A folder of photos, its library, and a running watcher."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import photoindex.demo

PROGRAM = Path(sys.executable).with_name("photoindex")
PICTURES = Path(photoindex.demo.__file__).parent / "pictures"
PATIENCE = 60.0
SETTLE = "0.3"


def until(holds: Callable[[], Any], what: str) -> None:
    """Wait for something that must come true."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@dataclass(slots=True)
class Daemon:
    """A running command and the lines it has printed so far: remarks to stderr, JSON to stdout."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)  # to stdout
    readers: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(cls, command: list[str], environment: dict[str, str]) -> Daemon:
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        daemon = cls(process)
        for stream, lines in ((process.stderr, daemon.lines), (process.stdout, daemon.printed)):
            reader = threading.Thread(target=_collect, args=(stream, lines))
            reader.start()
            daemon.readers.append(reader)
        return daemon

    def says(self, part: str) -> None:
        until(lambda: any(part in line for line in self.lines), f"{part} in {self.lines}")

    def ends_with(self, code: int) -> None:
        assert self.process.wait(PATIENCE) == code, self.lines
        self._read_to_the_end()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._read_to_the_end()
        return code

    def end(self) -> None:
        """Leave nothing behind, however the test went."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._read_to_the_end()

    def _read_to_the_end(self) -> None:
        for reader in self.readers:
            reader.join(PATIENCE)


def _collect(stream: IO[str], lines: list[str]) -> None:
    lines.extend(line.rstrip("\n") for line in stream)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of photos and the library that watches it."""

    folder: Path
    library: Path
    environment: dict[str, str]

    def run(self, *words: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, "--library", self.library, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def photos(self) -> int:
        """How many photos the library has, none while it is only being made."""
        answer = self.run("status", "--json")
        if answer.returncode:
            assert "no library in" in answer.stderr, answer.stderr
            return 0
        return int(json.loads(answer.stdout)["photos"])

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return document

    def tags(self, photo: Path) -> set[str] | None:
        """The names of a photo's tags, None while it is not known."""
        told = self.run("tags", photo, "--json")
        if told.returncode:
            return None
        return {tag["name"] for tag in json.loads(told.stdout)["tags"]}

    def failures(self) -> dict[str, str]:
        table = json.loads(self.run("failures", "--json").stdout)["failures"]
        return {Path(failure["path"]).name: failure["reason"] for failure in table}

    def knows(self, photo: Path) -> None:
        until(lambda: self.tags(photo) is not None, f"{photo} is not known")

    def forgets(self, photo: Path) -> None:
        until(lambda: self.tags(photo) is None, f"{photo} is still known")

    def start(self, *words: str | os.PathLike[str]) -> Daemon:
        return Daemon.start(
            [os.fspath(word) for word in (PROGRAM, "--library", self.library, *words)],
            self.environment,
        )

    @contextmanager
    def watching(self, *options: str) -> Iterator[Daemon]:
        """A watcher that has caught up with the folder."""
        model = ("--model", "sketch", "--device", "cpu")
        daemon = self.start("watch", self.folder, "--settle", SETTLE, *model, *options)
        try:
            daemon.says("caught up: ")
            yield daemon
        finally:
            daemon.end()


def make_place(root: Path) -> Place:
    folder = root / "photos"
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PHOTOINDEX_")}
    environment |= {"XDG_CONFIG_HOME": str(root), "XDG_DATA_HOME": str(root)}
    return Place(folder, root / "library", environment | {"OMP_NUM_THREADS": "1"})


def put(picture: str, target: Path) -> Path:
    """A copy of a bundled picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(PICTURES / picture, target))
