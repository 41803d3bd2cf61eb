"""A real library of the bundled pictures, and the command line as a user types it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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

    def __call__(self, *words: str | os.PathLike[str], code: int = 0) -> Outcome:
        out, err = io.BytesIO(), io.StringIO()
        text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
        ended = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["photoindex", *self._arguments(words)])
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as end:
                    ended = int(end.code or 0)
        outcome = Outcome(ended, out.getvalue(), err.getvalue())
        assert outcome.code == code, outcome
        return outcome

    def spawn(self, *words: str | os.PathLike[str], code: int = 0) -> Outcome:
        program = Path(sys.executable).with_name("photoindex")
        ended = subprocess.run([program, *self._arguments(words)], capture_output=True, timeout=120)
        outcome = Outcome(ended.returncode, ended.stdout, ended.stderr.decode("utf-8"))
        assert outcome.code == code, outcome
        return outcome

    def imports(self, *words: str | os.PathLike[str], code: int = 0) -> set[str]:
        """The top-level modules that a command imports, seen from inside its process."""
        spy = (
            "import atexit, sys; from photoindex.cli.app import main; "
            "atexit.register(lambda: sys.stderr.write('\\nIMPORTED ' + ' '.join(sys.modules))); "
            "main()"
        )
        ended = subprocess.run(
            [sys.executable, "-c", spy, *self._arguments(words)], capture_output=True, timeout=120
        )
        err = ended.stderr.decode("utf-8")
        assert ended.returncode == code, err
        return {name.split(".")[0] for name in err.rpartition("IMPORTED ")[2].split()}

    def _arguments(self, words: tuple[str | os.PathLike[str], ...]) -> list[str]:
        return ["--library", str(self.library), *map(os.fspath, words)]


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine's own settings, models and libraries play no part."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PHOTOINDEX_")]:
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("COLUMNS", "80")
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled pictures, a copy of one, a broken one and one whose name is no UTF-8."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copytree(BUNDLED / "pictures", folder, dirs_exist_ok=True)
    shutil.copy(folder / "zoo/lions.jpg", folder / "zoo/lions again.jpg")
    (folder / "broken.jpg").write_bytes((folder / "zoo/lions.jpg").read_bytes()[:900])
    Image.new("RGB", (64, 48), "white").save(folder / ODD_NAME)
    return folder


@pytest.fixture(scope="session")
def truth() -> dict[str, set[str]]:
    """What each bundled picture shows: file → tags."""
    table = json.loads(TRUTH.read_text(encoding="utf-8"))
    return {file: {*shown["tags"], *shown["drawings"]} for file, shown in table.items()}


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Command:
    """The session's library; tests that change one take `photoindex` instead."""
    command = Command(tmp_path_factory.mktemp("indexed") / "library")
    command("index", pictures, "--model", "sketch")
    return command


@pytest.fixture
def photoindex(indexed: Command, tmp_path: Path) -> Command:
    """A library of the test's own."""
    return Command(Path(shutil.copytree(indexed.library, tmp_path / "library")))


@pytest.fixture
def empty(tmp_path: Path) -> Command:
    """No library at all yet."""
    return Command(tmp_path / "none" / "library")
