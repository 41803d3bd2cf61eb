"""The library: the one door that the command line, the daemon and other programs go through."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import (
    ConceptRecord,
    FileRecord,
    FolderRecord,
    PhotoRecord,
    PhotoTag,
    Status,
    TagCount,
)
from photoindex.concept_file import read_concepts
from photoindex.config import DEFAULT_MODEL, Settings
from photoindex.errors import LibraryError, ModelError, NothingFound, PictureError, UsageError
from photoindex.paths import absolute
from photoindex.photo import Source
from photoindex.search.rank import Rank
from photoindex.tagger import Floats, Progress, Tagger, no_progress

if TYPE_CHECKING:
    from photoindex.analysis.installed import InstalledModels
    from photoindex.analysis.pipeline import Tally
    from photoindex.search.results import SearchResult
    from photoindex.vectors.base import VectorIndex

CATALOG, WATCH_LOCK = "catalog.db", "watch.lock"
_MODEL = "model"
_SAVE_VECTORS_EVERY = 1000


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search. like: the path of an example picture."""

    limit: int = 20
    like: Path | None = None
    rank: Rank = Rank.FUSED
    min_probability: float | None = None
    everything: bool = False


class Library:
    """Photos, tags, concepts and embeddings in one folder.

    Opening is cheap: networks and the vector index are loaded by the first call that needs them.
    """

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings = settings
        self._catalog = catalog
        self._taggers: dict[str, Tagger] = {}
        self._vectors_held: tuple[str, int, VectorIndex] | None = None  # model, generation, index

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        tagger = self._indexing_tagger()
        tally = Indexer(self._catalog, tagger, self.settings, progress, stop).catch_up(roots)
        self._refresh_vectors(tagger.model_id, progress)
        return tally

    def watch(
        self, folders: Sequence[Path], stop: threading.Event, progress: Progress = no_progress
    ) -> Iterator[Tally]:
        """Catch up with folders, then follow them until told to stop.

        Yields first what the catching up did, then what each settled change did. One watcher a
        library: raises LibraryError that says who holds it; else as `index`.
        """
        from photoindex.analysis.indexing import Indexer
        from photoindex.watch_lock import hold

        roots = self.resolve_folders(folders)
        with hold(self.settings.library / WATCH_LOCK):
            tagger = self._indexing_tagger()
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
        from photoindex.watch_lock import hold

        path = absolute(folder)
        with hold(self.settings.library / WATCH_LOCK):
            files = self._catalog.folders.forget(path)
        if files is None:
            raise NothingFound(f'no watched folder {path}: "photoindex status" lists them')
        return files

    # Searching

    def search(self, query: str, options: SearchOptions | None = None) -> SearchResult:
        """Photos that show what a query asks for, best first, ending where relevance ends.

        Raises QueryError, and ModelError where the query needs a network that is not here.
        """
        from photoindex.search.search import SearchRequest, Sources, search

        options = options or SearchOptions()
        active = self._catalog.models.active()
        sources = Sources(
            self._catalog,
            active.model_id if active else None,
            active is not None and active.token_count is not None,
            self._vectors,
            self._searching_tagger,
        )
        request = SearchRequest(
            query,
            self._embedding_like(options.like) if options.like else None,
            options.limit,
            options.rank,
            options.min_probability,
            options.everything,
        )
        return search(request, sources)

    # Concepts

    def add_concepts(
        self, file: Path, progress: Progress = no_progress
    ) -> tuple[ConceptRecord, ...]:
        """Score every stored photo for the concepts of a file, and keep them for new photos.

        All or none are added. Raises ConceptError for a malformed file, ModelError.
        """
        from photoindex.analysis.concepts import score_concepts

        concepts = read_concepts(file)
        tagger = self._searching_tagger()
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
        self._catalog.tags.tag(ids, _tag_name(name), Source.USER)

    def untag(self, paths: Sequence[Path], name: str) -> None:
        """Take a tag off photos, whoever gave it; it stays off.

        A Chinese name means every tag of that name. Raises NothingFound.
        """
        found = self._catalog.tags.find(_tag_name(name))
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

    # Models

    @cached_property
    def models(self) -> InstalledModels:
        """The models on this machine."""
        from photoindex.analysis.installed import InstalledModels

        settings = self.settings
        return InstalledModels(settings.models, settings.device, settings.precision)

    @property
    def model_name(self) -> str:
        """The model that indexing uses: the one asked for, else the library's, else the default."""
        return self.settings.model or self._catalog.setting(_MODEL) or DEFAULT_MODEL

    def ensure_model(self, progress: Progress = no_progress) -> None:
        """Fetch the model that indexing uses if it is not here.

        Raises DownloadError, ModelError.
        """
        if self.models.folder_of(self.model_name) is None:
            self.models.pull(self.model_name, progress)

    def _indexing_tagger(self) -> Tagger:
        """The model that new photos are analysed with, registered in the catalog."""
        name = self.model_name
        folder = self.models.folder_of(name)
        tagger = self._load(name)
        kept = str(folder) if folder is not None and ("/" in name) else name
        self._catalog.models.register(
            tagger.model_id, kept, tagger.embedding_size, tagger.vocabulary
        )
        if self._catalog.models.active() is None:
            self._catalog.models.activate(tagger.model_id)
        self._catalog.set_setting(_MODEL, kept)
        return tagger

    def _searching_tagger(self) -> Tagger:
        """The model that stored photos were analysed with, looked for where the settings say if it
        is not where it was.
        """
        active = self._catalog.models.active()
        if active is None:
            return self._indexing_tagger()
        asked = self.settings.model
        moved = asked is not None and self.models.folder_of(active.name) is None
        name = asked if asked is not None and moved else active.name
        tagger = self._load(name)
        if tagger.model_id != active.model_id:
            raise ModelError(
                f"the library was analysed by {active.model_id}, but {name} is now "
                f'{tagger.model_id}: run "photoindex index" to analyse it again'
            )
        return tagger

    def _load(self, name: str) -> Tagger:
        if name not in self._taggers:
            self._taggers[name] = self.models.load(name)
        return self._taggers[name]

    # Vectors

    def _vectors(self) -> VectorIndex:
        """The active model's vector index; read again only when its analyses have changed."""
        active = self._catalog.models.active()
        if active is None:
            raise LibraryError('nothing is indexed yet: run "photoindex index FOLDER" first')
        now = (active.model_id, self._catalog.analyses.state(active.model_id).generation)
        if self._vectors_held is None or self._vectors_held[:2] != now:
            self._vectors_held = None  # two at once may be more than memory holds
            self._vectors_held = (*now, self._refresh_vectors(active.model_id))
        return self._vectors_held[2]

    def _refresh_vectors(self, model_id: str, progress: Progress = no_progress) -> VectorIndex:
        """The vector index, brought up to date with the catalog and saved if it was not.

        The files of models that are no longer active are deleted then: they can be made again.
        """
        from photoindex.vectors.cache import VectorCache

        active = self._catalog.models.active()
        kept = {model_id, active.model_id} if active is not None else {model_id}
        cache = VectorCache(self.settings.library, self._catalog.analyses, kept)
        return cache.open(model_id, progress)

    def _embedding_like(self, path: Path) -> Floats:
        """The embedding of an example picture: the stored one if the library has the photo."""
        from photoindex.photos.decode import open_picture

        try:
            decoded = open_picture(path)
        except PictureError as error:
            raise PictureError(f"{path}: {error}") from error
        known = self._catalog.photos.by_hash(decoded.facts.hash)
        active = self._catalog.models.active()
        if known and active and self._catalog.analyses.has(known.id, active.model_id):
            return cast(Floats, self._vectors().embeddings([known.id])[0])
        return cast(Floats, self._searching_tagger().embed_pictures([decoded.picture])[0])


def _tag_name(name: str) -> str:
    clean = " ".join(name.split())
    if not clean or not clean.isprintable() or len(clean) > 200:
        raise UsageError("a tag is a name of 1 to 200 printable characters")
    return clean
