"""The reference lists every command and every option that there is, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from photoindex.cli.commands import application

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"


def commands(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(typer.main.get_command(application()), ("photoindex",)))


def documented() -> dict[str, set[str]]:
    """Command → its options, from the reference's table."""
    rows = re.findall(r"^\| `(photoindex [^`]+)` \|[^|]*\|([^|]*)\|", REFERENCE.read_text(), re.M)
    return {
        " ".join(re.findall(r"(?<![A-Z])[a-z-]{2,}", usage)): set(
            re.findall(r"-[-a-z0]+", options.replace("/", " "))
        )
        for usage, options in rows
    }


def test_every_command_is_there() -> None:
    assert set(documented()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_there(name: str) -> None:
    options = {
        option
        for parameter in COMMANDS[name].params
        for option in parameter.opts
        if option.startswith("-")
    }
    assert documented()[name] == options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    assert COMMANDS[name].epilog.startswith(f"Example: {name}")
