"""Lines of text on the two standard streams, each there as soon as it is written."""

from __future__ import annotations

import sys


def print_text(text: str) -> None:
    """A result: one line, or several, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def remark(line: str) -> None:
    """What is not a result: one line on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
