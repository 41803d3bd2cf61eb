"""Fetching one published file: continued where it broke off, and used only if its sum is right."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock, Timeout

from photoindex.errors import DownloadError
from photoindex.tagger import ModelFile, Progress

if TYPE_CHECKING:
    import httpx

TRIES = 4  # in a row without a single new byte
PAUSE = 1.0  # seconds before the second try, doubled from then on
_BLOCK = 1 << 20
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


def fetch(file: ModelFile, folder: Path, progress: Progress, pause: float = PAUSE) -> Path:
    """Have one published file in a folder, checked by its SHA-256. Returns its path.

    A file that is there and right costs no network. Half a file (`NAME.part`) is continued if the
    server still has the same one. Raises DownloadError that says what was looked for, where it
    can be put by hand and what to do then; a wrong file is never put in place.
    """
    target = folder / file.name
    if target.exists():
        return _checked_by_hand(file, target, progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _Part(target).held(file) as part:
            _download(_Transfer(file, folder, part, progress, pause))
            part.finish()
    except OSError as error:
        raise DownloadError(
            f"cannot write {file.name} to {folder}: {error.strerror or error}; make room, or choose"
            " another folder with PHOTOINDEX_MODELS"
        ) from error
    return target


@dataclass(frozen=True, slots=True)
class _Transfer:
    """One file on its way."""

    file: ModelFile
    folder: Path
    part: _Part
    progress: Progress
    pause: float

    @property
    def label(self) -> str:
        return f"downloading {self.file.name}"


class _Part:
    """The part of a file that is here so far, and the server's mark of the version it is of."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(target.name + ".part")
        self._etag_path = target.with_name(target.name + ".part.etag")
        self._handle: BinaryIO | None = None

    @contextmanager
    def held(self, file: ModelFile) -> Iterator[_Part]:
        """Open for one process at a time."""
        lock = FileLock(self._target.with_name(f".{self._target.name}.lock"), timeout=0)
        try:
            with lock, self._path.open("ab") as self._handle:
                yield self
        except Timeout as error:
            raise DownloadError(
                f"another photoindex is downloading {file.name} to {self._target.parent}:"
                " wait until it is done"
            ) from error

    @property
    def size(self) -> int:
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    @property
    def etag(self) -> str | None:
        """The version of the file that this is a part of, if the server names versions."""
        try:
            return self._etag_path.read_text(encoding="ascii") or None
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def restart(self, etag: str | None) -> None:
        """Throw away what is here, before the first byte of another answer."""
        self._file.truncate(0)
        self._etag_path.unlink(missing_ok=True)
        if etag and etag.isascii() and not etag.startswith("W/"):
            self._etag_path.write_text(etag, encoding="ascii")

    def write(self, block: bytes) -> None:
        self._file.write(block)

    def sha256(self, progress: Progress, label: str) -> str:
        self._file.flush()
        return _sha256(self._path, progress, label)

    def finish(self) -> None:
        """Move the complete file into place, safe against a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.replace(self._target)
        self._etag_path.unlink(missing_ok=True)

    @property
    def _file(self) -> BinaryIO:
        assert self._handle is not None, "used outside of held()"
        return self._handle


def _download(transfer: _Transfer) -> None:
    """Ask until the whole file is here; what was continued and came out wrong is begun anew."""
    while True:
        continued = transfer.part.size > 0
        _complete(transfer)
        found = transfer.part.sha256(transfer.progress, f"checking {transfer.file.name}")
        if found == transfer.file.sha256:
            return
        transfer.part.restart(None)
        if not continued:
            raise DownloadError(
                f"{transfer.file.url} has the SHA-256 {found}, but {transfer.file.sha256} is"
                f" expected: not used; {_by_hand(transfer.file, transfer.folder)}"
            )


def _complete(transfer: _Transfer) -> None:
    """Read the rest of the file, trying again as long as every few tries bring something new.

    What cannot even be reached at first is not waited for.
    """
    import httpx

    hopeless = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
    tries, reached = 0, False
    timeout = httpx.Timeout(60.0, connect=15.0)
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:
        while True:
            before = transfer.part.size
            try:
                return _read_rest(transfer, client)
            except (httpx.TransportError, _Passing) as error:
                reached = reached or not isinstance(error, hopeless)
                tries = 1 if transfer.part.size > before else tries + 1
                if tries >= TRIES or not reached or isinstance(error, httpx.UnsupportedProtocol):
                    raise _unreachable(transfer, str(error) or type(error).__name__) from error
                time.sleep(transfer.pause * 2 ** (tries - 1))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _unreachable(transfer, str(error)) from error


class _Passing(Exception):
    """The server cannot answer now; the message says why."""


def _read_rest(transfer: _Transfer, client: httpx.Client) -> None:
    part = transfer.part
    headers = {"Accept-Encoding": "identity"}  # sizes and ranges count the file's own bytes
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.etag:
            headers["If-Range"] = part.etag
    with client.stream("GET", transfer.file.url, headers=headers) as response:
        if response.status_code == 416 and part.size:  # nothing after what is here
            if part.size == _total(response, 0):
                return
            part.restart(None)
            raise _Passing("the file on the server is another one by now")
        if response.status_code in _PASSING:
            raise _Passing(f"HTTP {response.status_code} {response.reason_phrase}")
        if response.status_code not in (200, 206):
            raise _unreachable(
                transfer, f"HTTP {response.status_code} {response.reason_phrase}".strip()
            )
        if not _continues(response, part.size):
            if response.status_code == 206:
                part.restart(None)
                raise _Passing("the server sent another part of the file")
            part.restart(response.headers.get("etag"))
        total = _total(response, part.size)
        _check_room(transfer, total)
        transfer.progress(transfer.label, part.size, total)
        for block in response.iter_bytes():  # as they come, so that a break loses none
            part.write(block)
            transfer.progress(transfer.label, part.size, total)


def _continues(response: httpx.Response, size: int) -> bool:
    """Whether an answer begins where the part that is here ends."""
    begins = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return response.status_code == 206 and begins is not None and int(begins[1]) == size


def _total(response: httpx.Response, offset: int) -> int | None:
    """The whole file's size in bytes, where the server tells."""
    whole = re.search(r"/(\d+)$", response.headers.get("content-range", ""))
    if whole:
        return int(whole[1])
    length = response.headers.get("content-length", "")
    return offset + int(length) if length.isdigit() else None


def _check_room(transfer: _Transfer, total: int | None) -> None:
    """Find out before gigabytes are loaded that they are the wrong ones, or do not fit."""
    file = transfer.file
    if total is not None and file.size is not None and total != file.size:
        raise DownloadError(
            f"{file.url} has {total:,} bytes, but {file.size:,} are expected: not used;"
            f" {_by_hand(file, transfer.folder)}"
        )
    missing = (total or file.size or 0) - transfer.part.size
    free = shutil.disk_usage(transfer.folder).free
    if missing > free:
        raise DownloadError(
            f"{file.name} needs {missing:,} more bytes in {transfer.folder}, where {free:,} are"
            " free: make room, or choose another folder with PHOTOINDEX_MODELS"
        )


def _checked_by_hand(file: ModelFile, target: Path, progress: Progress) -> Path:
    """A file that was here already, if it is the right one."""
    try:
        found = _sha256(target, progress, f"checking {file.name}")
    except OSError as error:
        raise DownloadError(f"cannot read {target}: {error.strerror or error}") from error
    if found != file.sha256:
        raise DownloadError(
            f"{target} has the SHA-256 {found}, but {file.sha256} is expected: not used; delete it"
            " to download it again"
        )
    return target


def _sha256(path: Path, progress: Progress, label: str) -> str:
    digest = hashlib.sha256()
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress(label, done, total)
    return digest.hexdigest()


def _unreachable(transfer: _Transfer, why: str) -> DownloadError:
    here = f" ({transfer.part.size:,} bytes are here already)" if transfer.part.size else ""
    return DownloadError(
        f"cannot download {transfer.file.url}: {' '.join(why.split())}{here}; run the command again"
        f" to continue, or {_by_hand(transfer.file, transfer.folder)}"
    )


def _by_hand(file: ModelFile, folder: Path) -> str:
    """What to do where the network does not give the file."""
    size = f"{file.size:,} bytes, " if file.size is not None else ""
    where = shlex.quote(os.fspath(folder))
    return (
        f"put {file.name} ({size}SHA-256 {file.sha256}) and the model's other files into"
        f' {where} by hand, then run "photoindex models import {where}"'
    )
