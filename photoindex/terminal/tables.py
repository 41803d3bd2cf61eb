"""Aligned columns on standard output, for any script, with styles on terminals only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from photoindex.terminal.lines import print_text
from photoindex.terminal.wording import shown

GAP = "  "
_STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, side and style: "", "bold" or "dim"."""

    title: str
    right: bool = False
    style: str = ""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows under headings.

    Chinese takes two cells a character, so widths are measured in terminal cells. The last column
    is not padded, nothing is cut off, and a row is one line.
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(_cells(row[at]) for row in [titles, *cells]) for at in range(len(columns))]
    styled = _takes_styles()

    def line(row: Sequence[str], style: str | None) -> str:
        last = max((at for at, cell in enumerate(row) if cell.strip()), default=-1)
        parts = []
        for at, column in enumerate(columns[: last + 1]):
            space = " " * (widths[at] - _cells(row[at]))
            padded = space + row[at] if column.right else row[at] + space
            end = padded.rstrip() if at == last else padded
            parts.append(_in_style(end, column.style if style is None else style, styled))
        return indent + GAP.join(parts) if parts else ""

    print_lines([line(titles, "dim"), *(line(row, None) for row in cells)])


def print_lines(lines: Sequence[str]) -> None:
    """Print texts, one line each, however wide the terminal is."""
    if lines:
        print_text("\n".join(lines))


def _cells(text: str) -> int:
    """How many cells of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _takes_styles() -> bool:
    """Whether standard output is a terminal that knows escape sequences."""
    known = os.name == "posix" and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return known and (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR")))


def _in_style(text: str, style: str, styled: bool) -> str:
    return f"{_STYLES[style]}{text}{_PLAIN}" if styled and style and text else text
