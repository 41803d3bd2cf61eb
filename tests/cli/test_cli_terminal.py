"""What a terminal gets that a pipe does not: a moving bar and colours."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest
from typed import Command

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


def on_terminal(command: Command, *words: str | Path, **environment: str) -> str:
    """Everything a command writes to a terminal, which it takes both streams for."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm-256color", "COLUMNS": "100"} | environment)
        os.execv(command.program, [command.program, *command.arguments(words)])
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not part:
            break
        written += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return written.decode("utf-8")


def test_a_bar_moves_and_goes(empty: Command, pictures: Path) -> None:
    written = on_terminal(empty, "index", pictures / "zoo", "--model", "sketch")
    assert "analysing" in written and "of 9" in written
    last = written.rstrip().splitlines()[-1]
    assert "8 photos analysed" in last


@pytest.mark.parametrize(("setting", "coloured"), [("", True), ("1", False)])
def test_colours_respect_the_user(indexed: Command, setting: str, coloured: bool) -> None:
    written = on_terminal(indexed, "models", NO_COLOR=setting)
    assert ("\x1b[" in written) is coloured or not coloured
    assert not COLOUR.search(written) or coloured


def test_a_pipe_gets_no_escapes(indexed: Command) -> None:
    assert b"\x1b" not in indexed.spawn("models").raw
