"""The library: the one door that the command line, the daemon and other programs go through."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import (
    ConceptRecord,
    FileRecord,
    FolderRecord,
    ModelRecord,
    PhotoRecord,
    PhotoTag,
    Status,
    TagCount,
)
from photoindex.catalog.tags import checked_name
from photoindex.concept_file import read_concepts
from photoindex.config import Settings
from photoindex.errors import LibraryError, NothingFound, UsageError
from photoindex.locks import WATCH_LOCK, hold
from photoindex.paths import absolute
from photoindex.photo import Source
from photoindex.search.options import SearchOptions
from photoindex.tagger import Progress, no_progress

if TYPE_CHECKING:
    from photoindex.analysis.installed import InstalledModels
    from photoindex.analysis.model_choice import ModelChoice
    from photoindex.analysis.tally import Tally
    from photoindex.exchange.backup import BackupNote
    from photoindex.exchange.exchange import Exchange
    from photoindex.search.results import SearchResult
    from photoindex.vectors.base import VectorIndex
    from photoindex.vectors.held import HeldVectors

CATALOG = "catalog.db"
_SAVE_VECTORS_EVERY = 1000
_log = logging.getLogger(__name__)


class Library:
    """Photos, tags, concepts and embeddings in one folder.

    Opening is cheap: networks and the vector index are loaded by the first call that needs them.
    """

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings = settings
        self._catalog = catalog
        self._looking: ModelChoice | None = None  # who looks at example pictures, if not we
        self._warm_for: str | None = None

    @classmethod
    def open(cls, settings: Settings | None = None, create: bool = True) -> Library:
        """Open a library, made or upgraded as needed.

        create: False refuses to make a new one. Raises LibraryError.
        """
        settings = settings or Settings.load()
        path = settings.library / CATALOG
        if not create and not path.exists():
            raise LibraryError(
                f'no library in {settings.library}: run "photoindex watch FOLDER" first, '
                "or name another with --library"
            )
        try:
            settings.library.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError(
                f"the library folder {settings.library} cannot be made: {error.strerror}"
            ) from error
        return cls(settings, Catalog.open(path))

    def close(self) -> None:
        """Let go of files; the object is of no use afterwards."""
        self._catalog.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Keeping up with folders

    def index(
        self,
        folders: Sequence[Path],
        progress: Progress = no_progress,
        stop: threading.Event | None = None,
    ) -> Tally:
        """Catch up with folders and return. Raises UsageError, ModelError, LibraryError."""
        from photoindex.analysis.indexing import Indexer

        roots = self.resolve_folders(folders)
        stop = stop or threading.Event()
        tagger = self._models.for_indexing()
        tally = Indexer(self._catalog, tagger, self.settings, progress, stop).catch_up(roots)
        self._refresh_vectors(tagger.model_id, progress)
        return tally

    def watch(
        self, folders: Sequence[Path], stop: threading.Event, progress: Progress = no_progress
    ) -> Iterator[Tally]:
        """Catch up with folders, then follow them until told to stop.

        Yields first what the catching up did, then what each settled change did. One watcher a
        library: raises LibraryError that says who holds it; else as `index`. Meanwhile searches of
        other processes are answered from here, if the settings do not say otherwise.
        """
        from photoindex.analysis.indexing import Indexer

        roots = self.resolve_folders(folders)
        with hold(self.settings.library / WATCH_LOCK), ExitStack() as meanwhile:
            if self.settings.lend:
                try:
                    meanwhile.enter_context(self.lending())
                except LibraryError as error:
                    _log.warning("this watcher answers no searches: %s", error)
            tagger = self._models.for_indexing()
            indexer = Indexer(self._catalog, tagger, self.settings, progress, stop)
            unsaved = 0
            for tally in indexer.follow(roots):
                unsaved += tally.analysed
                if unsaved >= _SAVE_VECTORS_EVERY:
                    self._refresh_vectors(tagger.model_id, progress)
                    unsaved = 0
                yield tally
            if unsaved:
                self._refresh_vectors(tagger.model_id, progress)

    def resolve_folders(self, folders: Sequence[Path]) -> list[Path]:
        """What `index` and `watch` would look at: absolute folders, none inside another.

        With none given, the folders of last time. Raises UsageError for what is no folder.
        """
        from photoindex.analysis.indexing import resolve_folders

        return resolve_folders(folders, self._catalog)

    def folders(self) -> tuple[FolderRecord, ...]:
        """The folders that were indexed or watched, and which of them are there now."""
        return self._catalog.folders.all()

    def forget(self, folder: Path) -> int:
        """Stop watching a folder and take its photos out of results. Returns how many files.

        They count as deleted: the photos are purged after the grace time, except those with tags
        of the user's own. Watching the folder again brings them back. Raises NothingFound for a
        folder that was never watched, and LibraryError while a watcher runs.
        """
        path = absolute(folder)
        with hold(self.settings.library / WATCH_LOCK):
            files = self._catalog.folders.forget(path)
        if files is None:
            raise NothingFound(f'no watched folder {path}: "photoindex status" lists them')
        return files

    # Searching

    def search(self, query: str, options: SearchOptions | None = None) -> SearchResult:
        """Photos that show what a query asks for, best first, ending where relevance ends.

        All of it is by one model, whatever is indexed meanwhile. Raises QueryError, ModelError
        where the query needs a network that is not here, and LibraryError.
        """
        from photoindex.search.search import Sources, search

        def sources(active: ModelRecord | None) -> Sources:
            return Sources(
                self._catalog,
                active,
                lambda: self._vectors(active),
                lambda: self._models.for_searching(active),  # no more is imported than is needed
                lambda: (self._looking or self._models).for_examples(active),
            )

        return search(query, options or SearchOptions(), self._catalog, sources)

    @contextmanager
    def lending(self) -> Iterator[None]:
        """While this lasts, searches by other processes are answered from this one, warm.

        Raises LibraryError where another process does so already, or it cannot be done.
        """
        from photoindex.lending.lender import lending

        def opened() -> Library:
            library = Library.open(replace(self.settings, model=None), create=False)
            library._looking = self._models
            return library

        with lending(self.settings, self.settings.library / CATALOG, opened):
            yield

    def warm(self) -> None:
        """Open what searches need, as far as it is not open and up to date. Raises ModelError."""
        active = self._catalog.models.active()
        if active is not None and active.model_id != self._warm_for:
            self.search('"photoindex warms up"')  # whatever it finds
            self._warm_for = active.model_id
        elif active is not None:
            self._vectors(active)

    # Concepts

    def add_concepts(
        self, file: Path, progress: Progress = no_progress
    ) -> tuple[ConceptRecord, ...]:
        """Score every stored photo for the concepts of a file, and keep them for new photos.

        All or none are added. Raises ConceptError for a malformed file, ModelError.
        """
        from photoindex.analysis.concepts import score_concepts

        concepts = read_concepts(file)
        tagger = self._models.for_stored_photos()
        self._catalog.concepts.add(score_concepts(concepts, self._catalog, tagger, progress))
        return tuple(self.concept(concept.name) for concept in concepts)

    def concepts(self) -> tuple[ConceptRecord, ...]:
        """All stored concepts."""
        return self._catalog.concepts.all()

    def concept(self, name: str) -> ConceptRecord:
        """One stored concept. Raises NothingFound."""
        found = self._catalog.concepts.get(name) if name.isprintable() else None
        if found is None:
            raise NothingFound(f'no concept "{name}": "photoindex concepts" lists them')
        return found

    def remove_concept(self, name: str) -> None:
        """Forget a concept and what it said of photos. Raises NothingFound."""
        self._catalog.concepts.remove(self.concept(name).concept.name)

    def set_concept_threshold(self, name: str, threshold: float) -> ConceptRecord:
        """Change from which probability a concept is shown, at once.

        Raises NothingFound, UsageError.
        """
        if not 0 < threshold < 1:
            raise UsageError(f"threshold {threshold}: give a number between 0 and 1")
        self._catalog.concepts.set_threshold(self.concept(name).concept.name, threshold)
        return self.concept(name)

    # Tags

    def tags(self, limit: int | None = None) -> tuple[TagCount, ...]:
        """Every tag that photos show, the commonest first."""
        return self._catalog.tags.counts(limit)

    def tags_of(self, path: Path, everything: bool = False) -> tuple[PhotoTag, ...]:
        """A photo's tags, most probable first; everything: also those under their thresholds.

        Raises NothingFound.
        """
        photo = self.photo(path)
        return self._catalog.tags.of([photo.id], everything)[photo.id]

    def tag(self, paths: Sequence[Path], name: str) -> None:
        """Give photos a tag of the user's own. Raises NothingFound."""
        ids = [self.photo(path).id for path in paths]
        self._catalog.tags.tag(ids, checked_name(name), Source.USER)

    def untag(self, paths: Sequence[Path], name: str) -> None:
        """Take a tag off photos, whoever gave it; it stays off.

        A Chinese name means every tag of that name. Raises NothingFound.
        """
        found = self._catalog.tags.find(checked_name(name))
        if not found:
            raise NothingFound(f'no tag "{name}" in this library')
        ids = [self.photo(path).id for path in paths]
        for tag in found:
            self._catalog.tags.untag(ids, tag.name)

    def photo(self, path: Path) -> PhotoRecord:
        """The photo that a file holds. Raises NothingFound."""
        where = absolute(path)
        found = self._catalog.photos.at(where)
        if found is None:
            known = self._catalog.files.at(where)
            if known is not None and known.failure:
                raise NothingFound(f"{path} could not be read: {known.failure}")
            raise NothingFound(f"no photo {path} in this library: index its folder first")
        return found

    def failures(self) -> tuple[FileRecord, ...]:
        """Files that could not be read as pictures, with the reasons."""
        return self._catalog.files.failures()

    def status(self) -> Status:
        """Counts, model, sizes, failures."""
        return self._catalog.status()

    # The way out, and back

    @property
    def exchange(self) -> Exchange:
        """Backups, exports, and tags in sidecars."""
        from photoindex.exchange.exchange import Exchange

        return Exchange(self._catalog)

    @staticmethod
    def restore(
        file: Path, settings: Settings, force: bool = False, progress: Progress = no_progress
    ) -> BackupNote:
        """Put the library of a backup in place of none, or with force of the one there is.

        Nothing is changed unless all of it is well. Raises UsageError, LibraryError.
        """
        from photoindex.exchange.restore import restore

        catalog, lock = settings.library / CATALOG, settings.library / WATCH_LOCK
        return restore(absolute(file), catalog, lock, force, progress)

    # Models

    @property
    def models(self) -> InstalledModels:
        """The models on this machine."""
        return self._models.installed

    @property
    def model_name(self) -> str:
        """The model that indexing uses: the one asked for, else the library's, else the default."""
        return self._models.name

    def ensure_model(self, progress: Progress = no_progress) -> None:
        """Fetch the model that indexing uses if it is not here.

        Raises DownloadError, ModelError.
        """
        self._models.ensure(progress)

    @cached_property
    def _models(self) -> ModelChoice:
        from photoindex.analysis.model_choice import ModelChoice

        return ModelChoice(self.settings, self._catalog)

    # Vectors

    @cached_property
    def _held_vectors(self) -> HeldVectors:
        from photoindex.vectors.held import HeldVectors

        return HeldVectors(self.settings.library, self._catalog.analyses)

    def _vectors(self, active: ModelRecord | None) -> VectorIndex:
        if active is None:
            raise LibraryError('nothing is indexed yet: run "photoindex index FOLDER" first')
        return self._held_vectors.of(active.model_id)

    def _refresh_vectors(self, model_id: str, progress: Progress) -> None:
        active = self._catalog.models.active()
        self._held_vectors.refresh(model_id, active.model_id if active else None, progress)
