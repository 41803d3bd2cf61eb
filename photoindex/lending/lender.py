"""Answering the searches of other processes, beside whatever this one is doing."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from photoindex.config import Settings
from photoindex.errors import NothingFound, PhotoindexError, PictureError, UsageError
from photoindex.lending import answers, requests
from photoindex.lending.address import SOCKET, is_ours, listen
from photoindex.lending.reading import Lines
from photoindex.lending.requests import Malformed, Wanted
from photoindex.locks import hold
from photoindex.search.options import SearchOptions
from photoindex.search.results import SearchResult
from photoindex.sharing import sharing

LOCK = "search.lock"
CONNECTIONS, SEARCHES = 32, 4
"""At once; whoever comes when there are more connections has to search itself."""
TO_ASK, TO_LISTEN, TO_END = 5.0, 30.0, 5.0  # seconds
LOOK_EVERY = 1.0
"""Seconds, at least, between two looks at whether the analyses have changed."""
_REST = 20
"""So many times as long as it took to take over changes is waited before the next look."""
_log = logging.getLogger(__name__)


class Searched(Protocol):
    """What the lender needs of a library; several threads search it at once."""

    def search(self, query: str, options: SearchOptions) -> SearchResult: ...
    def warm(self) -> None:
        """Open what searches need, as far as it is not open and up to date."""
        ...

    def close(self) -> None: ...


@contextlib.contextmanager
def lending(settings: Settings, catalog: Path, opened: Callable[[], Searched]) -> Iterator[None]:
    """While this lasts, searches of a library are answered by this process.

    catalog: the file that `opened` opens: where another one lies in its place, it is opened anew.
    Raises LibraryError where another process does already, or where it cannot be done.
    """
    with hold(settings.library / LOCK, "served", "no second one is needed"):
        lender = Lender(settings, catalog, opened)
        try:
            yield
        finally:
            lender.close()


class Lender:
    """Threads that listen, search and keep warm. Only for whoever holds the lock.

    Raises LibraryError where no socket can be had.
    """

    def __init__(self, settings: Settings, catalog: Path, opened: Callable[[], Searched]) -> None:
        self._settings = settings
        self._library = _Reopened(catalog, opened)
        self._listener = listen(settings.library)
        self._stop = threading.Event()
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        self._searches = threading.BoundedSemaphore(SEARCHES)
        self._warming = threading.Thread(target=self._keep_warm, name="warming", daemon=True)
        self._warming.start()
        threading.Thread(target=self._listen, name="listening", daemon=True).start()

    def close(self) -> None:
        """End the searches in hand, if they are soon done, and go."""
        self._stop.set()
        (self._settings.library / SOCKET).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # wakes whoever listens, on Linux; others see it close
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        due = time.monotonic() + TO_END
        self._warming.join(TO_END)  # cut off within FAISS, it takes the process down
        taken = [
            self._searches.acquire(timeout=max(0.0, due - time.monotonic()))
            for _ in range(SEARCHES)
        ]
        if all(taken):  # and kept: no search begins any more
            self._library.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed; or no more files can be opened, which passes
                self._stop.wait(0.1)
                continue
            if self._connections.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        """One connection, one search. Whatever the other side does harms nobody else."""
        try:
            with connection, contextlib.suppress(OSError):
                if is_ours(connection):
                    connection.settimeout(TO_LISTEN)
                    connection.sendall(requests.greeting() + b"\n")
                    line = Lines(connection).next(requests.LONGEST_REQUEST, TO_ASK)
                    answer = self._answer(line)
                    connection.settimeout(TO_LISTEN)
                    connection.sendall(answer + b"\n")
        finally:
            self._connections.release()

    def _answer(self, line: bytes) -> bytes:
        try:
            wanted = requests.parse_request(line)
        except Malformed as error:
            return answers.declined(str(error))
        if not wanted.suits(self._settings) or not _is_the_same_file(wanted):
            return answers.declined("this process would find something else")
        with self._searches:
            return self._search(wanted)

    def _search(self, wanted: Wanted) -> bytes:
        try:
            library = self._library.now()
        except PhotoindexError as error:
            return answers.declined(str(error))
        try:
            with sharing(self._settings.library):
                return answers.found(library.search(wanted.query, wanted.options))
        except (UsageError, NothingFound, PictureError) as error:
            return answers.failed(error) or answers.declined("the asker will see why")
        except PhotoindexError as error:  # a model that was replaced, say: see it with fresh eyes
            _log.info("a search is left to the asker: %s", error)
        except Exception as error:  # noqa: BLE001  (told here; the asker searches itself)
            _log.exception("a search is left to the asker, because of a fault here: %r", error)
        self._library.forget(library)
        return answers.declined("it cannot be answered here")

    def _keep_warm(self) -> None:
        """Open what searches need before the first one, and take over changes before the next."""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                with sharing(self._settings.library):
                    self._library.now().warm()
            except PhotoindexError as error:  # no model here, say: whoever searches is told why
                _log.info("searches are not kept warm: %s", error)
                self._stop.wait(60)
            self._stop.wait(max(LOOK_EVERY, _REST * (time.monotonic() - began)))


class _Reopened:
    """The library as this process has it open, opened again where that is of no use any more."""

    def __init__(self, catalog: Path, opened: Callable[[], Searched]) -> None:
        self._catalog, self._opened = catalog, opened
        self._lock = threading.Lock()
        self._held: tuple[Searched, tuple[int, int]] | None = None

    def now(self) -> Searched:
        """The library that lies there now. Raises LibraryError."""
        with self._lock:
            if self._held is None or self._held[1] != _identity(self._catalog):
                self._held = None  # closed when the last search in it is done with it
                library = self._opened()
                self._held = (library, _identity(self._catalog))
            return self._held[0]

    def forget(self, library: Searched) -> None:
        """Open it anew for the next search."""
        with self._lock:
            if self._held is not None and self._held[0] is library:
                self._held = None

    def close(self) -> None:
        """Let go of files."""
        with self._lock:
            if self._held is not None:
                self._held[0].close()
                self._held = None


def _identity(path: Path) -> tuple[int, int]:
    """Which file lies there; (0, 0) for none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _is_the_same_file(wanted: Wanted) -> bool:
    """Whether the example picture is here what it is to the asker, in another container say."""
    if wanted.options.like is None:
        return True
    try:
        return requests.plain_file(wanted.options.like) == wanted.like
    except OSError:
        return False
