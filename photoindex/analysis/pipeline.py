"""From files to the catalog: what is read is recognised or analysed, then recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing

from photoindex.analysis.concepts import StoredConcepts
from photoindex.analysis.reading import Read, photo_with, read_ahead
from photoindex.analysis.tally import Tally
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import FileFailure, FileLink, NewAnalysis
from photoindex.photo import FoundFile
from photoindex.tagger import Progress, Tagger

ANALYSING = "analysing"
_FILES = 64
"""Files of one transaction, however few of them hold pictures to be analysed."""


def analyse_files(
    files: Sequence[FoundFile],
    catalog: Catalog,
    tagger: Tagger,
    batch_size: int | None,
    progress: Progress,
    stopped: Callable[[], bool],
) -> Tally:
    """Bring the catalog up to date with some files, in batches of one transaction each.

    A file whose content is known is linked to its photo. A picture that cannot be read is recorded
    with the reason. A batch is recorded while the network looks at the next one. Ends after the
    batch in hand when `stopped` says so.

    batch_size: pictures that the network looks at together; None: what the tagger does best.
    """
    batches = _Batches(files, catalog, tagger, batch_size, stopped)
    concepts = StoredConcepts(catalog, tagger)
    tally, done = Tally(), 0
    progress(ANALYSING, done, len(files))
    with ThreadPoolExecutor(1, thread_name_prefix="recorder") as recorder:
        recording: Future[Tally] | None = None
        coming: set[str] = set()  # the content that is being recorded
        for batch in batches:
            content = {read.picture.facts.hash for read in batch if read.picture is not None}
            if recording is not None and not content.isdisjoint(coming):
                wait([recording])  # a copy has to find its photo
            known, new = _analysed(batch, catalog, tagger, concepts)
            if recording is not None:
                tally += recording.result()
                progress(ANALYSING, done, len(files))
            recording = recorder.submit(_record, known, new, catalog, tagger.model_id)
            coming = content
            done += len(batch)
        if recording is not None:
            tally += recording.result()
            progress(ANALYSING, done, len(files))
    return tally


class _Batches:
    """Files read ahead, in batches of as many new pictures as the network looks at together.

    How many these are is asked when the first one has come: networks are opened for that.
    """

    def __init__(
        self,
        files: Sequence[FoundFile],
        catalog: Catalog,
        tagger: Tagger,
        batch_size: int | None,
        stopped: Callable[[], bool],
    ) -> None:
        self._files = files
        self._catalog = catalog
        self._tagger = tagger
        self._size = batch_size
        self._stopped = stopped

    def __iter__(self) -> Iterator[list[Read]]:
        batch: list[Read] = []
        pictures = 0
        reads = read_ahead(self._files, self._catalog, self._tagger, self._ahead, self._stopped)
        with closing(reads):
            for read in reads:
                batch.append(read)
                pictures += read.picture is not None
                if len(batch) >= _FILES or (pictures and pictures >= self._pictures()):
                    yield batch
                    batch, pictures = [], 0
        if batch and not self._stopped():
            yield batch

    def _pictures(self) -> int:
        if self._size is None:
            self._size = self._tagger.batch_size
        return self._size

    def _ahead(self) -> int:
        return 2 * (self._size or 2)


def _analysed(
    reads: Sequence[Read], catalog: Catalog, tagger: Tagger, concepts: StoredConcepts
) -> tuple[list[Read], list[NewAnalysis]]:
    """What is known by now of each file, and the analyses of new pictures, concepts included."""
    batch = [_known_by_now(read, catalog, tagger) for read in reads]
    pictures = {r.picture.facts.hash: r.picture for r in batch if r.picture is not None}
    if not pictures:
        return batch, []
    files: dict[str, tuple[FoundFile, ...]] = {}
    for read in batch:
        if read.picture is not None:
            content = read.picture.facts.hash
            files[content] = (*files.get(content, ()), read.file)
    analyses = tagger.analyse([picture.picture for picture in pictures.values()])
    said = concepts.score_new(analyses)
    return batch, [
        NewAnalysis(picture.facts, files[content], analysis, scored)
        for (content, picture), analysis, scored in zip(
            pictures.items(), analyses, said, strict=True
        )
    ]


def _record(
    batch: Sequence[Read], new: Sequence[NewAnalysis], catalog: Catalog, model_id: str
) -> Tally:
    failures = [
        FileFailure(read.file, read.failure, read.passing)
        for read in batch
        if read.failure is not None
    ]
    links = [FileLink(read.file, read.photo_id) for read in batch if read.photo_id is not None]
    if new:
        catalog.analyses.record(new, model_id)
    if links:
        catalog.files.link(links)
    if failures:
        catalog.files.fail(failures)
    copies = sum(len(analysis.files) - 1 for analysis in new)
    failed = sum(not failure.passing for failure in failures)
    unsettled = len(batch) - failed - len(links) - len(new) - copies
    return Tally(len(new), len(links) + copies, failed, 0, unsettled)


def _known_by_now(read: Read, catalog: Catalog, tagger: Tagger) -> Read:
    """What was read ahead may be a copy of a photo that the batch before has recorded since."""
    if read.picture is None:
        return read
    photo_id = photo_with(read.picture.facts.hash, catalog, tagger)
    return read if photo_id is None else Read(read.file, photo_id=photo_id)
