"""Files read and decoded ahead of the network: each becomes a picture, a known photo or a reason.

Pictures are opened in processes apart (photos/decoder.py), so that no file can take this one down.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue

from photoindex.catalog.catalog import Catalog
from photoindex.errors import PictureError, Unreachable
from photoindex.photo import FoundFile
from photoindex.photos.decode import DecodedPicture
from photoindex.photos.decoder import Decoder
from photoindex.photos.walk import stamp_of
from photoindex.tagger import Tagger

READERS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Threads that read ahead of the network, each with a process that decodes: a GPU looks at more
photos than two of them decode.

So memory has a bound, whatever the files are: `MEMORY` of decoder_process for each of these, and
here 4 bytes for each of the `MAX_REDUCED` pixels of every picture that waits.
"""
LISTEN_EVERY = 0.2
"""Seconds between two looks at whether to stop, while a file is waited for."""


@dataclass(frozen=True, slots=True)
class Read:
    """One file, read: its picture, or the known photo it holds, or why neither.

    With none of these it changed while it was read. passing: the reason lies outside of the file,
    which is to be tried again.
    """

    file: FoundFile
    picture: DecodedPicture | None = None
    photo_id: int | None = None
    failure: str | None = None
    passing: bool = False


def read_ahead(
    files: Iterable[FoundFile],
    catalog: Catalog,
    tagger: Tagger,
    ahead: Callable[[], int],
    stopped: Callable[[], bool],
) -> Generator[Read]:
    """Files in order, read by a few threads. Ends early when `stopped` says so, whatever hangs.

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

    with ExitStack() as opened:
        all_decoders = [opened.enter_context(Decoder()) for _ in range(READERS)]
        readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        opened.callback(readers.shutdown, cancel_futures=True)
        for decoder in all_decoders:
            opened.callback(decoder.end)  # first: whoever stops waits for no file
            decoders.put(decoder)
        while True:
            for file in islice(remaining, max(0, max(1, ahead()) - len(waiting))):
                waiting.append(readers.submit(read, file))
            if not waiting or not _come(waiting[0], stopped):
                break
            yield waiting.popleft().result()


def photo_with(content: str, catalog: Catalog, tagger: Tagger) -> int | None:
    """The photo of this content hash, if the tagger has analysed it."""
    photo = catalog.photos.by_hash(content)
    known = photo is not None and catalog.analyses.has(photo.id, tagger.model_id)
    return photo.id if photo is not None and known else None


def _come(read: Future[Read], stopped: Callable[[], bool]) -> bool:
    """Wait for a file; False where there was a stop first."""
    while not stopped():
        if wait([read], LISTEN_EVERY).done:
            return True
    return False


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
        read = Read(file, failure=str(error), passing=isinstance(error, Unreachable))
    # Otherwise the next look will see what it has become.
    return read if stamp_of(file.path) == file.stamp else Read(file)
