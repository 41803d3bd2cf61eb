"""Models on this machine: which there are, where they come from, how they are loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoindex.analysis import taggers
from photoindex.errors import ModelError
from photoindex.models.store import ModelStore
from photoindex.paths import absolute
from photoindex.tagger import LoadOptions, ModelCard, ModelSource, Progress, Scorer, Tagger

DOWNLOADS = "downloads"
CONVERTING = "converting"


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model by name: where it lies, or None while it has to be pulled or imported first."""

    name: str
    summary: str
    folder: Path | None
    size: int  # bytes on disk; for a model that is not here, bytes to download as far as known


class InstalledModels:
    """The models folder, the bundled models, and the plugins that load them."""

    def __init__(self, folder: Path, device: str = "auto", precision: str = "auto") -> None:
        self._store = ModelStore(folder)
        self._options = LoadOptions(
            device,
            precision,
            describe_model=self.describe,
            open_scorer=self.scorer,
            open_model=self.load,
        )

    def all(self) -> Sequence[ModelState]:
        """Every model that is here or known by name, bundled ones first."""
        known = {source.name: source for source in taggers.sources()}
        here = {name: self._store.path_of(name) for name in self._store.names()}
        here |= {s.name: s.bundled for s in known.values() if s.bundled is not None}
        states = [
            ModelState(name, _summary(known.get(name)), folder, _bytes_in(folder))
            for name, folder in here.items()
            if folder is not None
        ]
        return [
            *sorted(states, key=lambda state: state.name),
            *(
                ModelState(s.name, s.summary, None, sum(f.size or 0 for f in s.files))
                for s in known.values()
                if s.name not in here
            ),
        ]

    def folder_of(self, name: str) -> Path | None:
        """Where a model lies, by name or by the path of its folder; None where it is not here."""
        for source in taggers.sources():
            if source.name == name and source.bundled is not None:
                return source.bundled
        if _is_path(name):
            return absolute(name) if taggers.is_model_folder(absolute(name)) else None
        return self._store.path_of(name) if name in self._store.names() else None

    def describe(self, name: str) -> ModelCard:
        """What a model is, without loading a network. Raises ModelError as `load` does."""
        return taggers.describe(self._found(name), self._options)

    def scorer(self, name: str) -> Scorer:
        """What a single search needs of a model. Raises ModelError as `load` does."""
        return taggers.load_scorer(self._found(name), self._options)

    def load(self, name: str) -> Tagger:
        """A model ready to run. Raises ModelError that says how to get it."""
        return taggers.load_tagger(self._found(name), self._options)

    def pull(self, name: str, progress: Progress) -> Path:
        """Download, check and convert a model that a plugin knows; one that is here stays as it is.

        Files of an earlier attempt are kept and continued.
        Raises DownloadError, ModelError.
        """
        source = next((s for s in taggers.sources() if s.name == name), None)
        if source is None:
            raise self._missing(name)
        here = self.folder_of(name)
        if here is not None:
            return here
        from photoindex.models.fetch import fetch

        downloads = self._store.folder / DOWNLOADS / name
        for file in source.files:
            fetch(file, downloads, progress)
        folder = self.add(downloads, name, progress)
        self._store.discard(downloads)
        return folder

    def add(self, source: Path, name: str | None, progress: Progress) -> Path:
        """Import a model folder as it is, or make one from published files.

        source: a model folder, a folder of published files, or one `.pth` with the others beside.
        Raises ModelError.
        """
        if not source.exists():
            raise ModelError(f"nothing at {source}: give a model folder or a .pth")
        name = name or _name_from(source)
        progress(CONVERTING, 0, None)
        with self._store.building(name) as folder:
            if source.is_dir() and taggers.is_model_folder(source):
                self._store.copy(source, folder)
            else:
                taggers.build_model(source, folder, name)
        return self._store.path_of(name)

    def _found(self, name: str) -> Path:
        folder = self.folder_of(name)
        if folder is None:
            raise self._missing(name)
        return folder

    def _missing(self, name: str) -> ModelError:
        if _is_path(name):
            return ModelError(f"no model folder at {name}: give the folder that holds config.json")
        known = [s.name for s in taggers.sources()]
        if name in known:
            return ModelError(
                f'no model "{name}" in {self._store.folder}: run "photoindex models pull {name}", '
                "or put the files there by hand (docs/how-to/air-gapped.md)"
            )
        names = ", ".join(sorted({*known, *self._store.names()}))
        return ModelError(f'no model "{name}": known are {names}')


def _is_path(name: str) -> bool:
    return "/" in name or name.startswith((".", "~"))


def _name_from(source: Path) -> str:
    """A file's or folder's own name; a folder of published files is named after its weights."""
    weights = sorted(source.glob("*.pth")) if source.is_dir() else [source]
    name = weights[0].stem if len(weights) == 1 else source.absolute().name
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _summary(source: ModelSource | None) -> str:
    return source.summary if source is not None else "imported"


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
