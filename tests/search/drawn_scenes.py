"""Scenes that the bundled model never saw, in a library, and what is true of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoindex import Library

TRIAL = Path(__file__).parents[1] / "sketch" / "trial"
ABSENT = ("panda", "lighthouse", "guitar", "cactus", "whale", "snowman", "pizza", "bicycle")
"""No picture of the library shows these; the last two are no tags either."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """A library, what each of its pictures shows, and texts about two things in one picture."""

    library: Library
    shown: dict[str, frozenset[str]]  # file name → drawings
    texts: tuple[tuple[str, frozenset[str]], ...]  # text, names of the files that show it

    def showing(self, drawing: str) -> set[str]:
        return {name for name, drawings in self.shown.items() if drawing in drawings}
