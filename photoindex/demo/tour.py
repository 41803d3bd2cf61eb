"""The demo's own folder: bundled pictures and concepts, copied where they can be looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from photoindex.errors import LibraryError
from photoindex.paths import absolute

MODEL = "sketch"
"""The bundled model, the one that knows drawn scenes."""
TAGGED = ("holidays/beach-trip-03.jpg", "home/birthday-2022.jpg", "zoo/lions.jpg")
"""Pictures whose tags are shown."""
SEARCHES = ("cat", "狗", "birthday party with a cake")
"""A tag, a tag in Chinese, and free text."""
COMBINED = "a cat on a beach"
"""A search about two things, after the concepts."""
SHOWN = 5
"""Hits that each search prints at most."""

_BUNDLED = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Tour:
    """Where the demo's things lie; paths are absolute."""

    folder: Path

    @property
    def pictures(self) -> Path:
        """The copied pictures."""
        return self.folder / "pictures"

    @property
    def library(self) -> Path:
        """The library made of them."""
        return self.folder / "library"

    @property
    def concepts(self) -> Path:
        """The concept file that is added."""
        return self.folder / "concepts.json"


def lay_out(folder: Path) -> Tour:
    """Copy pictures and concepts into a folder; what lies there already is left as it is.

    Raises LibraryError where the folder cannot be written.
    """
    tour = Tour(absolute(folder))
    try:
        for source, target in _copies(tour):
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    except OSError as error:
        raise LibraryError(
            f"the demo cannot be laid out in {tour.folder} ({error.strerror}): "
            "name another folder with --folder"
        ) from error
    return tour


def _copies(tour: Tour) -> Iterator[tuple[Path, Path]]:
    yield _BUNDLED / "concepts.json", tour.concepts
    bundled = _BUNDLED / "pictures"
    for source in sorted(path for path in bundled.rglob("*") if path.is_file()):
        yield source, tour.pictures / source.relative_to(bundled)
