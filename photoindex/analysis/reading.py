"""Files read and decoded ahead of the network: each becomes a picture, a known photo or a reason.

Pictures are opened in processes apart (photos/decoder.py), so that no file can take this one down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue

from photoindex.catalog.catalog import Catalog
from photoindex.errors import PictureError
from photoindex.photo import FoundFile
from photoindex.photos.decode import DecodedPicture
from photoindex.photos.decoder import Decoder
from photoindex.photos.walk import stamp_of
from photoindex.tagger import Tagger

READERS = 2
"""Threads that read ahead of the network, each with a process that decodes."""


@dataclass(frozen=True, slots=True)
class Read:
    """One file, read: its picture, or the known photo it holds, or why neither.

    With none of these it changed while it was read.
    """

    file: FoundFile
    picture: DecodedPicture | None = None
    photo_id: int | None = None
    failure: str | None = None


def read_ahead(
    files: Iterable[FoundFile], catalog: Catalog, tagger: Tagger, ahead: Callable[[], int]
) -> Generator[Read]:
    """Files in order, read by a few threads.

    ahead: how many files may be read and not taken yet, asked again for each.
    """
    waiting: deque[Future[Read]] = deque()
    remaining = iter(files)
    decoders: SimpleQueue[Decoder] = SimpleQueue()

    def read(file: FoundFile) -> Read:
        decoder = decoders.get()
        try:
            return _read(file, decoder, catalog, tagger)
        finally:
            decoders.put(decoder)

    with ExitStack() as open_decoders:
        for _ in range(READERS):
            decoders.put(open_decoders.enter_context(Decoder()))
        readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        open_decoders.callback(readers.shutdown, cancel_futures=True)
        while True:
            for file in islice(remaining, max(1, ahead()) - len(waiting)):
                waiting.append(readers.submit(read, file))
            if not waiting:
                break
            yield waiting.popleft().result()


def photo_with(content: str, catalog: Catalog, tagger: Tagger) -> int | None:
    """The photo of this content hash, if the tagger has analysed it."""
    photo = catalog.photos.by_hash(content)
    known = photo is not None and catalog.analyses.has(photo.id, tagger.model_id)
    return photo.id if photo is not None and known else None


def _read(file: FoundFile, decoder: Decoder, catalog: Catalog, tagger: Tagger) -> Read:
    known: list[int] = []

    def wanted(content: str) -> int | None:
        photo_id = photo_with(content, catalog, tagger)
        if photo_id is None:
            return tagger.picture_size
        known.append(photo_id)
        return None

    try:
        picture = decoder.open(file.path, wanted)
        read = Read(file, picture) if picture is not None else Read(file, photo_id=known[-1])
    except PictureError as error:
        read = Read(file, failure=str(error))
    # Otherwise the next look will see what it has become.
    return read if stamp_of(file.path) == file.stamp else Read(file)
