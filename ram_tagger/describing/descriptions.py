"""From tags to a file of their descriptions: what to ask, and what becomes of the answers."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoindex.concept_file import LARGEST_FILE, parse_concepts
from photoindex.errors import UsageError
from photoindex.tagger import Progress
from ram_tagger.describing import prompts
from ram_tagger.describing.answers import clean
from ram_tagger.describing.asking import ask_all
from ram_tagger.describing.endpoint import PAUSE, Client, Endpoint, EndpointError
from ram_tagger.describing.journal import Journal, Request, Settings, open_journal, part_of
from ram_tagger.errors import RamTaggerError


class Interrupted(RamTaggerError):
    """The run was asked to end before every answer was there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which tags are described, by how many samples of each prompt."""

    names: tuple[str, ...]
    samples: int

    def requests(self) -> list[Request]:
        """Tag after tag, prompt after prompt."""
        return [
            Request(name, prompt, sample)
            for name in self.names
            for prompt in range(len(prompts.PROMPTS))
            for sample in range(self.samples)
        ]


@dataclass(frozen=True, slots=True)
class Described:
    """A file of descriptions, and what it took.

    requests: sent by this run; skipped: answers that were empty or said again what another one
    had said; bare: tags of which no answer was of use.
    """

    file: Path
    concepts: int
    descriptions: int
    requests: int
    skipped: int
    bare: tuple[str, ...]
    bytes: int

    @property
    def too_large(self) -> bool:
        """Whether the file has to be split before it can be read as concepts."""
        return self.bytes > LARGEST_FILE


def concept_names(given: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names as a concept file takes them, each once, and those left out as the same again.

    Raises ConceptError that names what is no name.
    """
    names: dict[str, str] = {}
    again: list[str] = []
    for text in given:
        (concept,) = parse_concepts(json.dumps({text: []}))
        if concept.name.casefold() in names:
            again.append(concept.name)
        else:
            names[concept.name.casefold()] = concept.name
    return tuple(names.values()), tuple(again)


def refuse_to_overwrite(out: Path) -> None:
    """Raise UsageError where a file cannot be written because something is there, or no folder."""
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already: remove it, or name another file with --out")
    if not out.parent.is_dir():
        raise UsageError(f"no folder {out.parent}: make it, or name another file with --out")


def describe(
    plan: Plan,
    endpoint: Endpoint,
    out: Path,
    progress: Progress,
    *,
    parallel: int = 4,
    ended: threading.Event | None = None,
    pause: float = PAUSE,
) -> Described:
    """Ask the endpoint what is still missing in `OUT.part` and write the concept file `out`.

    ended: set it to end after the answers that are on their way. pause: seconds before a second
    try. Raises UsageError (something is there already, or was begun with other settings),
    EndpointError that names the tag, Interrupted, RamTaggerError; the answers so far stay.
    """
    refuse_to_overwrite(out)
    settings = Settings(endpoint.llm, endpoint.temperature, plan.samples, prompts.digest())
    ended = ended or threading.Event()
    try:
        with open_journal(part_of(out), settings) as journal:
            _refuse_to_forget(journal, plan)
            with Client(endpoint, ended, parallel, pause) as client:
                sent = _fill(journal, plan, client, parallel, ended, progress)
            described = _write(out, plan, journal.answers, sent)
            journal.remove()
    except OSError as error:
        raise RamTaggerError(f"cannot write {out}: {error.strerror or error}") from error
    return described


def _fill(
    journal: Journal,
    plan: Plan,
    client: Client,
    parallel: int,
    ended: threading.Event,
    progress: Progress,
) -> int:
    """Get every answer that the journal lacks. Returns how many requests it took."""
    requests = plan.requests()
    missing = [request for request in requests if request not in journal.answers]
    done = len(requests) - len(missing)

    def ask(request: Request) -> None:
        answer = client.ask(prompts.prompt(request.prompt, request.name))
        journal.keep(request, clean(answer))

    def kept() -> str:
        return (
            f"{done:,} of {len(requests):,} answers are kept in {journal.path}: the same command"
            " again continues"
        )

    progress("describing", done, len(requests))
    try:
        for _ in ask_all(missing, ask, parallel, ended):
            done += 1
            progress("describing", done, len(requests))
    except EndpointError as error:
        raise EndpointError(f"{error}; {kept()}") from error
    if done < len(requests):
        raise Interrupted(kept())
    return len(missing)


def _refuse_to_forget(journal: Journal, plan: Plan) -> None:
    """Answers for tags that are not asked for now would be lost with the journal."""
    others = sorted({request.name for request in journal.answers} - set(plan.names))
    if others:
        more = f" and {len(others) - 1:,} more tags" if len(others) > 1 else ""
        raise UsageError(
            f'{journal.path} holds answers for "{others[0]}"{more}: name them too, or delete it to'
            " begin anew"
        )


def _write(out: Path, plan: Plan, answers: Mapping[Request, str], sent: int) -> Described:
    requests = plan.requests()
    table = {name: [prompts.plain(name)] for name in plan.names}
    for request in requests:
        table[request.name].append(answers[request])
    table = {name: _distinct(texts) for name, texts in table.items()}
    content = json.dumps(table, ensure_ascii=False, indent=2).encode() + b"\n"
    _put(out, content)
    descriptions = sum(map(len, table.values()))
    return Described(
        file=out,
        concepts=len(table),
        descriptions=descriptions,
        requests=sent,
        skipped=len(requests) + len(table) - descriptions,
        bare=tuple(name for name, texts in table.items() if len(texts) == 1),
        bytes=len(content),
    )


def _distinct(texts: Sequence[str]) -> list[str]:
    """Without empty texts and those that only repeat another one."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(text.casefold().rstrip("."), text)
    return [text for text in first.values() if text]


def _put(out: Path, content: bytes) -> None:
    """Have a new file whole or not at all; what came there meanwhile stays. Raises OSError."""
    aside = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _name(aside, out)
    except FileExistsError as error:
        raise UsageError(
            f"{out} came there meanwhile: move it away; the same command again writes what is kept"
            f" in {part_of(out)}"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _name(aside: Path, out: Path) -> None:
    """Give a file its name, which must be free: a rename alone would overwrite."""
    try:
        out.hardlink_to(aside)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        out.touch(exist_ok=False)
        aside.replace(out)
