"""A search as it was typed, read without Typer where that is plain to see.

Importing Typer takes longer than the answer of a running watcher. What is read here means the same
to Typer, and whatever is not plain is left to it: help, unknown options, values to be refused.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from photoindex.cli.words import filters_last, hoisted
from photoindex.search.options import SearchOptions
from photoindex.search.rank import Rank


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line of a search says.

    library, models: the global options; loading: what was said of the model, by settings' names.
    """

    words: tuple[str, ...]
    options: SearchOptions = field(default_factory=SearchOptions)
    why: bool = False
    as_json: bool = False
    paths: bool = False
    null: bool = False
    library: Path | None = None
    models: Path | None = None
    loading: tuple[tuple[str, Any], ...] = ()


_FLAGS = {"--all": "everything", "--why": "why", "--json": "as_json", "--paths": "paths"}
_FLAGS |= {"-0": "null"}
_VALUES = {
    "--library": ("library", "path"),
    "--models-folder": ("models", "path"),
    "--limit": ("limit", "number"),
    "-n": ("limit", "number"),
    "--like": ("like", "path"),
    "--rank": ("rank", "rank"),
    "--min-probability": ("min_probability", "probability"),
    "--model": ("model", "text"),
    "--device": ("device", "text"),
    "--precision": ("precision", "text"),
}
_GLUED = re.compile(r"(--[a-z-]+)=(.*)|(-n)([0-9]+)", re.DOTALL)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_PROBABILITY = re.compile(r"0?\.[0-9]{1,17}|0|1")


class _NotPlain(Exception):
    """Typer has to look at this."""


def read(args: list[str]) -> Asked | None:
    """The search that a command line asks for; None for any other command, and for what is odd."""
    if os.name != "posix":  # elsewhere Typer expands what the shell leaves to programs
        return None
    words = hoisted(args)
    front, at = {}, 0
    try:
        while at < len(words) and words[at].startswith("--"):
            name, value, at = _option(words, at)
            front[name] = value
        if words[at : at + 1] != ["search"] or not front.keys() <= {"library", "models"}:
            return None
        return _asked(front | _read_search(filters_last(words[at + 1 :])))
    except _NotPlain:
        return None


def _read_search(args: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"words": []}
    at = 0
    while args[at] != "--":
        if args[at].startswith("-") and args[at] != "-":
            name, found[name], at = _option(args, at)
        else:
            found["words"].append(args[at])
            at += 1
    found["words"] += args[at + 1 :]
    return found


def _option(args: list[str], at: int) -> tuple[str, Any, int]:
    """The option at a place: its name, its value, and the place behind it."""
    word = args[at]
    if word in _FLAGS:
        return _FLAGS[word], True, at + 1
    glued = _GLUED.fullmatch(word)
    option = (glued[1] or glued[3]) if glued else word
    if option not in _VALUES or (glued is None and at + 1 >= len(args)):
        raise _NotPlain
    name, kind = _VALUES[option]
    text = (glued[2] or glued[4]) if glued else args[at + 1]
    return name, _value(kind, text), at + (1 if glued else 2)


def _value(kind: str, text: str | None) -> Any:
    if not text or text.startswith("-") or not text.isprintable():
        raise _NotPlain
    if kind == "path" and not (os.path.exists(text) and not os.access(text, os.R_OK)):  # noqa: PTH110
        return Path(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return int(text)
    if kind == "probability" and _PROBABILITY.fullmatch(text):
        return float(text)
    if kind == "rank" and text in list(Rank):
        return Rank(text)
    if kind == "text":
        return text
    raise _NotPlain


def _asked(found: dict[str, Any]) -> Asked:
    options = ("limit", "like", "rank", "min_probability", "everything")
    loading = ("model", "device", "precision")
    return Asked(
        words=tuple(found.pop("words")),
        options=SearchOptions(**{name: found.pop(name) for name in options if name in found}),
        loading=tuple((name, found.pop(name)) for name in loading if name in found),
        **found,
    )
