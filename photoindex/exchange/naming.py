"""Which sidecar belongs to which photo: there are two customs.

digiKam and darktable append `.xmp` (`IMG_1.jpg.xmp`); Lightroom puts it in the extension's place
(`IMG_1.xmp`), which pictures that differ in their extension only would share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from photoindex.photos.formats import Hint, hint

SUFFIXES = (".xmp", ".XMP")


class Naming(StrEnum):
    """How a new sidecar is named."""

    DIGIKAM = "digikam"  # IMG_1.jpg.xmp
    LIGHTROOM = "lightroom"  # IMG_1.xmp


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a folder, and by name without extension those that are no sidecars."""

    names: frozenset[str]
    by_stem: dict[str, list[str]]

    @classmethod
    def of(cls, folder: Path) -> Listing:
        """Empty where the folder cannot be read."""
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            names = []
        by_stem: dict[str, list[str]] = {}
        for name in names:
            if not name.endswith(SUFFIXES):
                by_stem.setdefault(stem_of(name), []).append(name)
        return cls(frozenset(names), by_stem)

    def shared(self, stem: str) -> bool:
        """Whether several pictures have a name; a raw file and its picture are one shot."""
        sharing = self.by_stem.get(stem, [])
        return sum(hint(name) is not Hint.OTHER for name in sharing) > 1


class SidecarNames:
    """Finds sidecars; folders are listed once, as most photos lie beside the one before."""

    def __init__(self) -> None:
        self._listing = lru_cache(maxsize=16)(Listing.of)

    def candidates(self, photo: Path, naming: Naming) -> Iterator[tuple[Path, bool]]:
        """Where a photo's sidecar may be, the best first, and whether it is there.

        Those that are there come before the one that would be made, which is the last. One that
        several pictures would share is none's.
        """
        listing = self._listing(photo.parent)
        customs = [photo.name]
        if not listing.shared(stem_of(photo.name)):
            customs.insert(0 if naming is Naming.LIGHTROOM else 1, stem_of(photo.name))
        for custom in customs:
            for suffix in SUFFIXES:
                if custom + suffix in listing.names:
                    yield photo.with_name(custom + suffix), True
        for custom in customs:
            yield photo.with_name(custom + SUFFIXES[0]), False

    def pictures_of(self, sidecar: Path) -> tuple[Path, ...]:
        """The files that a sidecar may speak of, by either custom."""
        listing, owner = self._listing(sidecar.parent), stem_of(sidecar.name)
        own = [owner] if owner in listing.names else []
        named = dict.fromkeys([*own, *listing.by_stem.get(owner, [])])
        return tuple(sidecar.with_name(name) for name in named)


def stem_of(name: str) -> str:
    """A file name without its extension."""
    return os.path.splitext(name)[0]  # noqa: PTH122
