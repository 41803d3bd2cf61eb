"""The file that `add-concept` takes: concepts by name, each with any number of descriptions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from photoindex.errors import ConceptError
from photoindex.tagger import Concept

DEFAULT_THRESHOLD = 0.5
LARGEST_FILE = 64 * 1024 * 1024  # bytes
MOST_DESCRIPTIONS = 1000
MOST_IN_A_FILE = 500_000
"""Descriptions of all its concepts: their embeddings take 1 GB."""
_LONGEST_NAME = 200  # characters
_FIELDS = {"descriptions", "threshold", "zh"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_concepts(path: Path) -> list[Concept]:
    """The concepts of a JSON file.

    Three forms are read: RAM++'s list of `{name: [description, …]}`, a plain object
    `{name: [description, …]}`, and `{name: {"descriptions": […], "threshold": 0.5, "zh": "…"}}`.
    Raises ConceptError that names the entry and what is wrong with it; nothing is half-read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)  # a pipe or a device has no size to be asked for
        if len(raw) > LARGEST_FILE:
            raise ConceptError(f"{path}: larger than {LARGEST_FILE >> 20} MB: split it")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConceptError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConceptError(f"{path}: not UTF-8 text: save it as UTF-8") from error
    try:
        return parse_concepts(text)
    except ConceptError as error:
        raise ConceptError(f"{path}: {error}") from error


def parse_concepts(text: str) -> list[Concept]:
    """The concepts of a JSON text, as `read_concepts` reads them from a file."""
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConceptError(f"not JSON: {error.msg} in line {error.lineno}") from error
    except ValueError as error:  # Python refuses numbers of thousands of digits
        raise ConceptError(f"not JSON that can be read: {error}") from error
    except RecursionError as error:
        raise ConceptError("nested too deeply: a concept is a name and a list") from error
    concepts = [_concept(name, value) for name, value in _entries(document)]
    count = sum(len(concept.descriptions) for concept in concepts)
    if count > MOST_IN_A_FILE:
        raise ConceptError(
            f"{count:,} descriptions: write at most {MOST_IN_A_FILE:,} into one file, or split it"
        )
    if not concepts:
        raise ConceptError('no concept in it: write {"name": ["description", …]}')
    seen: set[str] = set()
    for concept in concepts:
        if concept.name.casefold() in seen:
            raise ConceptError(f'concept "{concept.name}" stands there twice: keep one')
        seen.add(concept.name.casefold())
    return concepts


def _entries(document: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(document, Mapping):
        return document.items()
    if not isinstance(document, list):
        raise ConceptError("expected an object or a list of objects of concepts")
    for number, item in enumerate(document, 1):
        if not isinstance(item, Mapping):
            raise ConceptError(f"entry {number}: expected {{name: [description, …]}}")
    return [pair for item in document for pair in item.items()]


def _concept(name: str, value: Any) -> Concept:
    clean = " ".join(name.split())
    if not clean:
        raise ConceptError("a concept has an empty name: give it one")
    if not clean.isprintable() or len(clean) > _LONGEST_NAME:
        raise ConceptError(
            f'concept "{_short(clean)}": not a name: '
            f"write at most {_LONGEST_NAME} printable characters"
        )
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - _FIELDS)
        if unknown:
            raise ConceptError(
                f'concept "{clean}": unknown field "{_short(unknown[0])}"; known are '
                "descriptions, threshold, zh"
            )
        return Concept(
            clean,
            _descriptions(clean, value.get("descriptions", [])),
            _threshold(clean, value.get("threshold", DEFAULT_THRESHOLD)),
            _chinese(clean, value.get("zh")),
        )
    return Concept(clean, _descriptions(clean, value), DEFAULT_THRESHOLD)


def _descriptions(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConceptError(f'concept "{name}": descriptions must be a list of texts')
    for number, text in enumerate(value, 1):
        if not _is_text(text):
            raise ConceptError(f'concept "{name}": description {number} is not a text')
    if len(value) > MOST_DESCRIPTIONS:
        raise ConceptError(f'concept "{name}": more than {MOST_DESCRIPTIONS} descriptions')
    return tuple(text.strip() for text in value)


def _threshold(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 1:
        raise ConceptError(f'concept "{name}": threshold must be a number between 0 and 1')
    return float(value)


def _chinese(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not _is_text(value):
        raise ConceptError(f'concept "{name}": zh must be a text: write a name or leave it out')
    return str(value).strip()


def _short(name: str) -> str:
    """A name of any length and content, for a message of one line."""
    begin = name if len(name) <= 40 else name[:40] + "…"
    return begin if begin.isprintable() else ascii(begin)[1:-1]


def _is_text(value: Any) -> bool:
    """Whether a JSON value is a text with something in it and no half characters (surrogates)."""
    return isinstance(value, str) and bool(value.strip()) and not _SURROGATE.search(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ConceptError(f'"{_short(twice)}" stands there twice: keep one')
    return table


def _no_constant(constant: str) -> Any:
    raise ConceptError(f"{constant} is no number: thresholds lie between 0 and 1")
