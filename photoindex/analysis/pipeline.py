"""From files to the catalog: read, recognise what is known, analyse what is new, record."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import FileFailure, FileLink, NewAnalysis
from photoindex.errors import PictureError
from photoindex.photo import FoundFile
from photoindex.photos.decode import DecodedPicture, decode_picture, read_picture
from photoindex.photos.walk import stamp_of
from photoindex.tagger import Analysis, Progress, StoredPhotos, Tagger

READERS = 2
"""Threads that read and decode ahead of the network."""
ANALYSING = "analysing"


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the files of a run."""

    analysed: int = 0  # photos that a network looked at
    linked: int = 0  # files that hold a photo already analysed: copies, touched files
    failed: int = 0  # files that cannot be read as pictures
    deleted: int = 0  # files that are gone
    unsettled: int = 0  # files that changed while they were read; seen again next time
    moved: int = 0  # known files at another path
    back: int = 0  # known files that were gone or offline, and lie there unchanged
    offline: int = 0  # files on a disk that is not there

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.analysed + other.analysed,
            self.linked + other.linked,
            self.failed + other.failed,
            self.deleted + other.deleted,
            self.unsettled + other.unsettled,
            self.moved + other.moved,
            self.back + other.back,
            self.offline + other.offline,
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """One file, read: its picture, or the known photo it holds, or why neither."""

    file: FoundFile
    picture: DecodedPicture | None = None
    photo_id: int | None = None
    failure: str | None = None


def analyse_files(
    files: Sequence[FoundFile],
    catalog: Catalog,
    tagger: Tagger,
    batch_size: int,
    progress: Progress,
    stopped: Callable[[], bool],
) -> Tally:
    """Bring the catalog up to date with some files, in batches of one transaction each.

    A file whose content is known is linked to its photo. A picture that cannot be read is recorded
    with the reason. Ends after the batch in hand when `stopped` says so.
    """
    tally = Tally()
    done = 0
    progress(ANALYSING, done, len(files))
    for batch in _batches(_read_ahead(files, catalog, tagger, batch_size), batch_size):
        tally += _record(batch, catalog, tagger)
        done += len(batch)
        progress(ANALYSING, done, len(files))
        if stopped():
            break
    return tally


def _record(reads: Sequence[_Read], catalog: Catalog, tagger: Tagger) -> Tally:
    batch = [_known_by_now(read, catalog, tagger) for read in reads]
    failures = [FileFailure(read.file, read.failure) for read in batch if read.failure]
    links = [FileLink(read.file, read.photo_id) for read in batch if read.photo_id is not None]
    new: dict[str, NewAnalysis] = {}
    pictures = {r.picture.facts.hash: r.picture for r in batch if r.picture is not None}
    analyses = dict(
        zip(pictures, tagger.analyse([p.picture for p in pictures.values()]), strict=True)
        if pictures
        else ()
    )
    for read in batch:
        if read.picture is not None:
            facts = read.picture.facts
            earlier = new.get(facts.hash)
            new[facts.hash] = (
                NewAnalysis(facts, (read.file,), analyses[facts.hash])
                if earlier is None
                else replace(earlier, files=(*earlier.files, read.file))
            )
    if new:
        scored = score_new([a.analysis for a in new.values()], catalog, tagger)
        recorded = [
            replace(analysis, concepts=concepts)
            for analysis, concepts in zip(new.values(), scored, strict=True)
        ]
        catalog.analyses.record(recorded, tagger.model_id)
    if links:
        catalog.files.link(links)
    if failures:
        catalog.files.fail(failures)
    copies = sum(len(analysis.files) - 1 for analysis in new.values())
    unsettled = len(batch) - len(failures) - len(links) - len(new) - copies
    return Tally(len(new), len(links) + copies, len(failures), 0, unsettled)


def score_new(
    analyses: Sequence[Analysis], catalog: Catalog, tagger: Tagger
) -> list[dict[int, float]]:
    """Each new analysis' probability for every stored concept, by concept id.

    From the tokens as they are stored, so that it makes no difference which came first, the photo
    or the concept.
    """
    known = catalog.concepts.embeddings(tagger.model_id)
    if known is None:
        return [{} for _ in analyses]
    stored = StoredPhotos.of([analysis.stored for analysis in analyses])
    probabilities = tagger.score(known.labels, [stored])
    return [dict(zip(known.ids.tolist(), map(float, row), strict=True)) for row in probabilities]


def _read_ahead(
    files: Iterable[FoundFile], catalog: Catalog, tagger: Tagger, batch_size: int
) -> Iterator[_Read]:
    """Files read in order by a few threads, at most two batches ahead of the network."""
    waiting: deque[Future[_Read]] = deque()
    remaining = iter(files)
    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as readers:
        try:
            for file in islice(remaining, 2 * batch_size):
                waiting.append(readers.submit(_read, file, catalog, tagger))
            while waiting:
                read = waiting.popleft().result()
                for file in islice(remaining, 1):
                    waiting.append(readers.submit(_read, file, catalog, tagger))
                yield read
        finally:
            readers.shutdown(cancel_futures=True)


def _read(file: FoundFile, catalog: Catalog, tagger: Tagger) -> _Read:
    try:
        content = read_picture(file.path)
        photo_id = _analysed(content.hash, catalog, tagger)
        if photo_id is not None:
            read = _Read(file, photo_id=photo_id)
        else:
            read = _Read(file, picture=decode_picture(content, tagger.picture_size))
    except PictureError as error:
        read = _Read(file, failure=str(error))
    return read if _still_the_same(file) else _Read(file)


def _known_by_now(read: _Read, catalog: Catalog, tagger: Tagger) -> _Read:
    """What was read ahead may be a copy of a photo that the batch before has recorded since."""
    if read.picture is None:
        return read
    photo_id = _analysed(read.picture.facts.hash, catalog, tagger)
    return read if photo_id is None else _Read(read.file, photo_id=photo_id)


def _analysed(content: str, catalog: Catalog, tagger: Tagger) -> int | None:
    """The photo of this content hash, if the tagger has analysed it."""
    photo = catalog.photos.by_hash(content)
    known = photo is not None and catalog.analyses.has(photo.id, tagger.model_id)
    return photo.id if photo is not None and known else None


def _still_the_same(file: FoundFile) -> bool:
    """Whether a file is what it was before it was read; otherwise the next look will see it."""
    return stamp_of(file.path) == file.stamp


def _batches(reads: Iterator[_Read], size: int) -> Iterator[list[_Read]]:
    while batch := list(islice(reads, size)):
        yield batch
