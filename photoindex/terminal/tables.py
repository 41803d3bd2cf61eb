"""Aligned columns on standard output, for any script and with colours on terminals only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photoindex.terminal.wording import shown

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, side and style (as rich names styles)."""

    title: str
    right: bool = False
    style: str = ""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows under headings.

    Chinese takes two cells a character, so widths are measured in terminal cells. The last column
    is not padded, nothing is cut off, and a row is one line.
    """
    from rich.cells import cell_len
    from rich.text import Text

    cells = [[shown(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(cell_len(row[at]) for row in [titles, *cells]) for at in range(len(columns))]

    def line(row: Sequence[str], style: str | None) -> Text:
        text = Text(indent)
        for at, (cell, column) in enumerate(zip(row, columns, strict=True)):
            space = " " * (widths[at] - cell_len(cell))
            last = at == len(columns) - 1
            padded = space + cell if column.right else cell if last else cell + space
            text.append(padded, column.style if style is None else style)
            text.append("" if last else GAP)
        text.rstrip()
        return text

    print_lines([line(titles, "dim"), *(line(row, None) for row in cells)])


def print_lines(lines: Sequence[object]) -> None:
    """Print texts or rich texts, one line each, however wide the terminal is."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in lines:
        console.print(line)
