"""A library, a process that lends what it has open, and searches beside it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import photoindex.demo
from photoindex.lending.address import SOCKET

PROGRAM = Path(sys.executable).with_name("photoindex")
PICTURES = Path(photoindex.demo.__file__).parent / "pictures"
PATIENCE = 60.0
ODD_NAME = os.fsdecode(b"caf\xe9\n 1.jpg")
_SPY = """
import atexit, sys
{first}
from photoindex.cli.app import main
atexit.register(lambda: sys.stderr.write("\\0" + " ".join(sys.modules)))
main()
"""


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for something that must come true."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a search ended, what it wrote, and whether another process had done the work."""

    code: int
    out: bytes
    err: str
    lent: bool

    @property
    def said(self) -> tuple[int, bytes, str]:
        """All that its user sees."""
        return self.code, self.out, self.err


@dataclass(frozen=True, slots=True)
class Place:
    """A library of the bundled pictures, and how commands are run on it."""

    library: Path
    environment: dict[str, str]
    folder: Path | None = None  # where commands are run

    @property
    def socket(self) -> Path:
        return self.library / SOCKET

    def having(self, **variables: str) -> Place:
        return replace(self, environment=self.environment | variables)

    def within(self, folder: Path) -> Place:
        return replace(self, folder=folder)

    def run(self, *words: str | os.PathLike[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [PROGRAM, "--library", self.library, *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE,
        )

    def search(self, *words: str | os.PathLike[str], first: str = "") -> Answer:
        """A search as a process of its own; first: what its Python does before all else."""
        python = [sys.executable, "-c", _SPY.format(first=first)]
        ended = subprocess.run(
            [*python, "--library", self.library, "search", *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE,
        )
        err, _, modules = ended.stderr.decode("utf-8").rpartition("\0")
        assert "Traceback" not in err, err
        return Answer(ended.returncode, ended.stdout, err, "numpy" not in modules.split())

    @contextmanager
    def running(self, *words: str | os.PathLike[str]) -> Iterator[Running]:
        """A command that goes on until it is stopped."""
        process = subprocess.Popen(
            [PROGRAM, "--library", self.library, *words],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        running = Running(process, process.stderr)
        try:
            yield running
        finally:
            process.kill()
            process.wait(PATIENCE)
            process.stderr.close()

    @contextmanager
    def served(self) -> Iterator[Running]:
        """`photoindex serve`, ready."""
        with self.running("serve") as running:
            running.says("answering searches of ")
            yield running

    @contextmanager
    def watched(self, folder: Path) -> Iterator[Running]:
        """`photoindex watch`, caught up with a folder."""
        model = ("--model", "sketch", "--device", "cpu")
        with self.running("watch", folder, "--settle", "0.2", *model) as running:
            running.says("caught up: ")
            yield running


@dataclass(frozen=True, slots=True)
class Running:
    """A command that goes on."""

    process: subprocess.Popen[bytes]
    err: IO[bytes]

    def says(self, part: str) -> str:
        """The next line that it must write, others before it passed over."""
        for line in self.err:
            if part.encode() in line:
                return line.decode()
        raise AssertionError(f"it ended with {self.process.wait(PATIENCE)} and never said {part}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def index(root: Path) -> Place:
    """A library of the bundled pictures, one of which has a name that is no UTF-8."""
    folder = root / "pictures"
    shutil.copytree(PICTURES, folder)
    (folder / "home/dog and ball.jpg").rename(folder / ODD_NAME)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PHOTOINDEX_")}
    environment |= {"XDG_CONFIG_HOME": str(root), "XDG_DATA_HOME": str(root), "HOME": str(root)}
    environment |= {"OMP_NUM_THREADS": "1"}
    place = Place(root / "library", environment)
    done = place.run("index", folder, "--model", "sketch")
    assert done.returncode == 0, done
    return place
