"""The command `photoindex`: by the shortest way to what was asked, and how it ends."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from photoindex.cli.asked import read
from photoindex.errors import PhotoindexError
from photoindex.terminal.lines import remark
from photoindex.terminal.wording import shown

_INTERRUPTED = 130


def main() -> None:
    """Run the command; an expected error becomes one line on stderr and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot write Chinese is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            sys.exit(_run(sys.argv[1:]))
        finally:
            sys.stdout.flush()
    except PhotoindexError as error:
        remark(f"photoindex: {shown(str(error))}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run(args: list[str]) -> int:
    asked = read(args)
    if asked is not None:
        from photoindex.cli.answering import answer

        return answer(asked)
    from photoindex.cli.commands import run

    return run(args)
