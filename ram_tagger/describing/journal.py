"""The answers got so far, on disk as they come: `OUT.part`, a JSON line each.

The first line holds the settings that the answers belong to. Killed at any moment, a run loses no
more than the answers that were on their way.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from photoindex.errors import UsageError
from ram_tagger.errors import RamTaggerError

_TITLE = "ram-tagger describe"
_FORM = 1
_BEGIN = f'{{"{_TITLE}": {_FORM}, '.encode()


@dataclass(frozen=True, slots=True)
class Request:
    """One question: which tag, which prompt (a place in PROMPTS), which of the samples."""

    name: str
    prompt: int
    sample: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What all answers of one file have in common; `prompts` is a digest of their texts."""

    llm: str
    temperature: float
    samples: int
    prompts: str


def part_of(out: Path) -> Path:
    """Where the answers for a file are kept until it is written."""
    return out.with_name(out.name + ".part")


class Journal:
    """Answers by request, each on disk before `keep` returns; any thread may call that."""

    def __init__(self, path: Path, file: BinaryIO, answers: dict[Request, str]) -> None:
        self.path = path
        self._file, self._answers = file, answers
        self._turn = threading.Lock()

    @property
    def answers(self) -> Mapping[Request, str]:
        return self._answers

    def keep(self, request: Request, answer: str) -> None:
        """Add an answer. Raises OSError."""
        with self._turn:
            self._write({**asdict(request), "answer": answer})
            self._answers[request] = answer

    def remove(self) -> None:
        """Delete the file: what it held stands elsewhere."""
        self.path.unlink(missing_ok=True)

    def begin(self, settings: Settings) -> None:
        """Write the first line of an empty file."""
        self._write({_TITLE: _FORM, **asdict(settings)})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def open_journal(path: Path, settings: Settings) -> Iterator[Journal]:
    """The journal at a path, new or continued, for one process at a time.

    A last line that was not written whole is cut off. Raises UsageError where the answers belong
    to other settings or the file is no journal, RamTaggerError where it is damaged or in use,
    OSError.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=0):
            try:
                with path.open("a+b") as file:
                    yield _continued(path, file, settings)
            finally:
                with suppress(PermissionError):  # Windows deletes it when it is let go
                    lock.unlink(missing_ok=True)
    except Timeout as error:
        raise RamTaggerError(
            f"another ram-tagger is writing {path}: wait until it is done, or name another --out"
        ) from error


def _continued(path: Path, file: BinaryIO, settings: Settings) -> Journal:
    file.seek(0)
    *lines, torn = file.read().split(b"\n")
    answers: dict[Request, str] = {}
    journal = Journal(path, file, answers)
    if not lines:  # new, or killed before its first line was whole
        if not (torn.startswith(_BEGIN) or _BEGIN.startswith(torn)):
            raise _not_ours(path)
        file.truncate(0)
        journal.begin(settings)
        return journal
    _check(path, lines[0], settings)
    for number, line in enumerate(lines[1:], 2):
        entry = _entry(line)
        if entry is None:
            raise RamTaggerError(
                f"{path}: line {number} is damaged: delete that line and go on, or the whole file"
                " to begin anew"
            )
        answers[entry[0]] = entry[1]
    file.truncate(sum(len(line) + 1 for line in lines))
    return journal


def _check(path: Path, first: bytes, settings: Settings) -> None:
    """Raise UsageError unless a first line holds these settings."""
    try:
        began = json.loads(first)
    except (ValueError, RecursionError) as error:
        raise _not_ours(path) from error
    if not isinstance(began, dict) or _TITLE not in began:
        raise _not_ours(path)
    if began[_TITLE] != _FORM:
        raise UsageError(f"{path} was begun by another release: finish it there, or delete it")
    other = [
        "with the prompts of another release"
        if name == "prompts"
        else f"with --{name} {began.get(name)} instead of {value}"
        for name, value in asdict(settings).items()
        if began.get(name) != value
    ]
    if other:
        raise UsageError(
            f"{path} was begun {' and '.join(other)}: use the same options to continue, or delete"
            " it to begin anew"
        )


def _not_ours(path: Path) -> UsageError:
    return UsageError(
        f"{path} is there, and is none of ram-tagger describe's: move it, or name another --out"
    )


def _entry(line: bytes) -> tuple[Request, str] | None:
    """A line's request and answer; None if it makes no sense."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {"name": str, "prompt": int, "sample": int, "answer": str}
    if not isinstance(document, dict) or document.keys() != kinds.keys():
        return None
    if any(type(document[name]) is not kind for name, kind in kinds.items()):
        return None
    answer = str(document.pop("answer"))
    return Request(**document), answer
