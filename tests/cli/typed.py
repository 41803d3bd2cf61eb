"""A command as a user types it, and how it ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import photoindex.demo
from photoindex.cli.app import main

BUNDLED = Path(photoindex.demo.__file__).parent
TRUTH = Path(__file__).parents[1] / "sketch" / "demo_truth.json"
ODD_NAME = os.fsdecode(b"caf\xe9\n 1.png")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode("utf-8")

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Command:
    """`photoindex` on one library: called, it runs in this process; `spawn` runs the real one."""

    library: Path

    @property
    def program(self) -> str:
        return str(Path(sys.executable).with_name("photoindex"))

    def __call__(self, *words: str | os.PathLike[str], code: int = 0) -> Outcome:
        out, err = io.BytesIO(), io.StringIO()
        text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
        ended = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["photoindex", *self.arguments(words)])
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as end:
                    ended = int(end.code or 0)
        outcome = Outcome(ended, out.getvalue(), err.getvalue())
        assert outcome.code == code, outcome
        return outcome

    def spawn(self, *words: str | os.PathLike[str], code: int = 0) -> Outcome:
        ended = subprocess.run(
            [self.program, *self.arguments(words)], capture_output=True, timeout=120
        )
        outcome = Outcome(ended.returncode, ended.stdout, ended.stderr.decode("utf-8"))
        assert outcome.code == code, outcome
        return outcome

    def heeding_permissions(self, *words: str | os.PathLike[str]) -> Outcome:
        """As `spawn`, also where tests run as the superuser, for whom permissions do not count."""
        heedful: tuple[str, ...] = ()
        if os.geteuid() == 0:
            setpriv = shutil.which("setpriv")
            if setpriv is None:
                pytest.skip("setpriv (Debian: util-linux) is not installed")
            heedful = (setpriv, "--bounding-set=-all", "--inh-caps=-all")
        called = [*heedful, self.program, *self.arguments(words)]
        ended = subprocess.run(called, capture_output=True, timeout=120)
        return Outcome(ended.returncode, ended.stdout, ended.stderr.decode("utf-8"))

    def imports(self, *words: str | os.PathLike[str], code: int = 0) -> set[str]:
        """The modules that a command imports, and their packages, seen from inside its process."""
        spy = (
            "import atexit, sys; from photoindex.cli.app import main; "
            "atexit.register(lambda: sys.stderr.write('\\nIMPORTED ' + ' '.join(sys.modules))); "
            "main()"
        )
        ended = subprocess.run(
            [sys.executable, "-c", spy, *self.arguments(words)], capture_output=True, timeout=120
        )
        err = ended.stderr.decode("utf-8")
        assert ended.returncode == code, err
        names = err.rpartition("IMPORTED ")[2].split()
        return {*names, *(name.split(".")[0] for name in names)}

    def arguments(self, words: tuple[str | os.PathLike[str], ...]) -> list[str]:
        return ["--library", str(self.library), *map(os.fspath, words)]
