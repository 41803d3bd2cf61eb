"""`ram-tagger describe` as a user types it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from language_model import LanguageModel

from ram_tagger.cli.app import main

OUT = Path("concepts.json")
PART = Path("concepts.json.part")
COMMAND = Path(sys.executable).with_name("ram-tagger")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Describe:
    """`ram-tagger describe` with the test's endpoint, in this process or in one of its own."""

    model: LanguageModel
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str | Path) -> Done:
        self.monkeypatch.setattr(sys, "argv", ["ram-tagger", *self._words(arguments)])
        with pytest.raises(SystemExit) as leaving:
            main()
        return Done(int(leaving.value.code or 0), *self.capsys.readouterr())

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """In a process that can be killed; it runs where the test's folder is."""
        pipe = subprocess.PIPE
        words = [str(COMMAND), *self._words(arguments)]
        return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True)

    def _words(self, arguments: tuple[str | Path, ...]) -> list[str]:
        endpoint = ("--endpoint", self.model.url, "--llm", "small")
        return ["describe", *map(str, arguments), *endpoint]


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> Done:
    """`ram-tagger` with these words and nothing added."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as leaving:
        patch.setattr(sys, "argv", ["ram-tagger", *words])
        main()
    return Done(int(leaving.value.code or 0), *capsys.readouterr())


def refused(done: Done, code: int, *parts: str) -> None:
    """Nothing on stdout, one message on stderr, no traceback."""
    assert (done.code, done.stdout) == (code, ""), done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ram-tagger: ")
    assert all(part in last for part in parts), last
    assert "Traceback" not in done.stderr


def left() -> set[str]:
    return {path.name for path in Path().iterdir()}
