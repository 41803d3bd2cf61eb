"""Tags that other programs wrote into XMP sidecars, into the library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.tags import usable_name
from photoindex.errors import UsageError
from photoindex.exchange.naming import SUFFIXES, SidecarNames
from photoindex.exchange.sidecar import Sidecar, SidecarError, read
from photoindex.exchange.subjects import PATHS, SUBJECT, narrow
from photoindex.paths import absolute
from photoindex.photo import Source
from photoindex.photos.walk import Pruning
from photoindex.tagger import Progress, no_progress

_READING = "reading sidecars"
_BLOCK = 500  # sidecars between two writes
# Trees in which programs keep notes of their own.
_INTERNAL = frozenset({"darktable", "_Digikam_Internal_Tags_"})


@dataclass(slots=True)
class ImportTally:
    """What an import found.

    new: tags given to photos; known: those that the user or an import had given already; kept_off:
    those that the user took off, which stay off; unusable: names that can be no tag's; unmatched:
    sidecars of no photo in the library; failures: sidecars that could not be read, and why.
    """

    sidecars: int = 0
    photos: int = 0  # that have a sidecar with tags
    new: int = 0
    known: int = 0
    kept_off: int = 0
    unusable: int = 0
    unmatched: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)


def import_tags(
    catalog: Catalog,
    folders: Sequence[Path] = (),
    whole_paths: bool = False,
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> ImportTally:
    """Give photos the tags in their sidecars, as imported ones.

    What photoindex wrote itself is passed over. folders: where to look, with all below them (the
    library's folders that are there); whole_paths: a tag's name is its whole path in the tree, as
    in `Places/Italy/Sardinia`, not `Sardinia` alone; dry_run: only find out. Raises UsageError for
    what is no folder.
    """
    roots = [absolute(folder) for folder in folders] or [
        folder.path for folder in catalog.folders.all() if folder.online
    ]
    for root in roots if folders else ():
        if not root.is_dir():
            raise UsageError(f"no folder {root} to look for sidecars in")
    tally = ImportTally()
    intake = _Intake(catalog, tally, dry_run)
    names = SidecarNames()
    total = sum(1 for _ in _sidecars(roots))
    for path in _sidecars(roots, tally.failures):
        progress(_READING, tally.sidecars, total)
        tally.sidecars += 1
        photos = _photos_of(catalog, names.pictures_of(path))
        if not photos:
            tally.unmatched.append(path)
            continue
        try:
            snapshot = read(path)
            found = [] if snapshot is None else tags_in(Sidecar.parse(snapshot.raw), whole_paths)
        except SidecarError as error:
            tally.failures.append((path, str(error)))
            continue
        intake.take(photos, found)
    intake.finish()
    progress(_READING, total, total)
    return tally


def tags_in(sidecar: Sidecar, whole_paths: bool = False) -> list[str]:
    """The names of the tags that others wrote into a sidecar."""
    paths: dict[tuple[str, ...], None] = {}
    hidden: set[str] = set()
    for of in PATHS:
        mine = sidecar.values(of.written())
        for entry in sidecar.values(of):
            parts = tuple(narrow(part).strip() for part in of.parts(entry))
            if parts[0] in _INTERNAL:
                hidden.update(parts)
            elif entry not in mine:
                paths[tuple(part for part in parts if part)] = None
    mine = sidecar.values(SUBJECT.written())
    flat = [name for name in sidecar.values(SUBJECT) if name not in mine and name not in hidden]
    named = ["/".join(path) if whole_paths else path[-1] for path in paths if path]
    if whole_paths:  # programs repeat the components of a path as flat names
        components = {part for path in paths for part in path}
        flat = [name for name in flat if narrow(name) not in components]
    else:
        # A flat name is exact, where a path holds another sign for a separator in it.
        exact = {narrow(name): name for name in flat}
        named = [exact.get(name, name) for name in named]
    return list(dict.fromkeys([*flat, *named]))


class _Intake:
    """Gathers what is to be said of photos, and says it in few transactions."""

    def __init__(self, catalog: Catalog, tally: ImportTally, dry_run: bool) -> None:
        self._catalog, self._tally, self._dry_run = catalog, tally, dry_run
        self._spelling: dict[str, str] = {}
        self._waiting: dict[int, dict[str, None]] = {}  # photo → names
        self._seen: set[int] = set()

    def take(self, photos: Sequence[int], names: Sequence[str]) -> None:
        """Photos and the tags that one sidecar gives them."""
        usable = [clean for name in names if (clean := usable_name(name)) is not None]
        self._tally.unusable += len(names) - len(usable)
        if not usable:
            return
        for photo in photos:
            self._waiting.setdefault(photo, {}).update(
                dict.fromkeys(self._spelt(name) for name in usable)
            )
        if len(self._waiting) >= _BLOCK:
            self.finish()

    def finish(self) -> None:
        """Say all that was gathered."""
        given = self._catalog.tags.of(list(self._waiting), everything=True)
        new: dict[str, list[int]] = {}
        for photo, names in self._waiting.items():
            said = {
                _folded(tag.name): tag.probability > 0
                for tag in reversed(given[photo])  # the user's word comes first: it wins
                if tag.source in (Source.USER, Source.IMPORTED)
            }
            for name in names:
                before = said.get(_folded(name))
                self._tally.known += before is True
                self._tally.kept_off += before is False
                if before is None:
                    new.setdefault(name, []).append(photo)
        self._tally.new += sum(map(len, new.values()))
        self._seen |= self._waiting.keys()
        self._tally.photos = len(self._seen)
        self._waiting = {}
        if not self._dry_run:
            for name, photos in new.items():
                self._catalog.tags.tag(photos, name, Source.IMPORTED)

    def _spelt(self, name: str) -> str:
        """The name by which the library knows a tag; a Chinese one that means one tag is that's."""
        if name not in self._spelling:
            found = self._catalog.tags.find(name)
            same = [tag.name for tag in found if _folded(tag.name) == _folded(name)]
            only = [tag.name for tag in found] if len(found) == 1 else []
            self._spelling[name] = (same or only or [name])[0]
        return self._spelling[name]


def _folded(name: str) -> bytes:
    """Equal for names that are one to the catalog, which folds the case of ASCII alone."""
    return name.encode().lower()


def _photos_of(catalog: Catalog, files: Sequence[Path]) -> list[int]:
    known = (catalog.files.at(file) for file in files)
    return list({record.photo_id: None for record in known if record and record.photo_id})


def _sidecars(
    roots: Sequence[Path], failures: list[tuple[Path, str]] | None = None
) -> Iterator[Path]:
    """Every sidecar in some folders, but for what is left out of every look at them.

    failures: folders that cannot be read, and why, are added to these.
    """

    def note(error: OSError) -> None:
        if failures is not None:
            failures.append((Path(error.filename), error.strerror or str(error)))

    for root in roots:
        pruning = Pruning(root)
        for folder, below, files in os.walk(root, onerror=note):
            below[:] = sorted(name for name in below if not pruning.leaves_out(f"{folder}/{name}"))
            for name in sorted(files):
                if name.endswith(SUFFIXES) and not name.startswith("."):
                    yield Path(folder, name)
