"""Opening pictures in a process apart, with bounds on memory and time: nothing takes this one down.

The formats' libraries are written in C and read files from anywhere. A file that crashes one, eats
memory or hangs costs a process that is started again; the file is recorded with the reason. What
the machine did to the process is told apart: such a file is as good as before.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from photoindex.errors import PhotoindexError, PictureError, Unreachable
from photoindex.photo import Metadata, PhotoFacts
from photoindex.photos.decode import DecodedPicture
from photoindex.photos.decoder_process import READY

SECONDS = 60.0
"""How long one file may take to be read and decoded: panoramas on slow disks take a few."""
Wanted = Callable[[str], int | None]
"""Told a file's hash (hex BLAKE2b-256), says how large the picture has to be along its shorter side
(see `decode_picture`), or None where it need not be decoded."""
_PROGRAM = (sys.executable, "-P", "-m", "photoindex.photos.decoder_process")
_KILLED = -9
# What a terminal's Ctrl-C stops is the run, in order; the process ends with it.
_OWN_GROUP: dict[str, Any] = {} if sys.platform == "win32" else {"process_group": 0}
_NO_START = (
    "the process that opens pictures cannot be started ({}): free some memory; if that is not it,"
    f' "{" ".join(_PROGRAM)}" says why'
)
_one_at_a_time = threading.Lock()
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class _Gone(Exception):
    """The process ended or was ended in the middle of a file; the message says how.

    by_file: whether the file's content can be why.
    """

    def __init__(self, how: str, by_file: bool) -> None:
        super().__init__(how)
        self.by_file = by_file


class Decoder:
    """One process that opens one file at a time. For one thread.

    ended: whether it was told to `end`.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, path: Path, wanted: Wanted) -> DecodedPicture | None:
        """The picture in a file, None where it is not wanted.

        A file at which the process ends is tried once more: something else may have ended it.
        Raises PictureError with the reason in plain words, Unreachable where the machine is the
        reason: a disk that does not answer, no memory left, or `end`. Raises PhotoindexError where
        no picture can be opened here at all.
        """
        try:
            return self._open(path, wanted)
        except _Gone:
            try:
                return self._open(path, wanted)
            except _Gone as gone:
                raise (PictureError if gone.by_file else Unreachable)(str(gone)) from gone

    def close(self) -> None:
        """Let the process go."""
        if self._process is not None:
            self._let_go(self._process)
            self._process = None

    def end(self) -> None:
        """From any thread: end the process, whatever it does, and begin nothing more."""
        self.ended = True
        process = self._process
        if process is not None:
            process.kill()

    def _open(self, path: Path, wanted: Wanted) -> DecodedPicture | None:
        if self._process is not None and self._process.poll() is not None:
            self.close()  # it has ended between two files
        with self._in_time(decoding=False) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(os.fspath(path)).encode() + b"\n")
            process.stdin.flush()
            content = str(_answer(process)["hash"])
        try:
            side = wanted(content)
        except BaseException:
            self.close()  # it waits for an answer
            raise
        with self._in_time(decoding=True) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(side).encode() + b"\n")
            process.stdin.flush()
            if side is None:
                return None
            answer = _answer(process)
            width, height = answer["picture"]
            pixels = process.stdout.read(3 * width * height)
            if len(pixels) < 3 * width * height:
                raise BrokenPipeError
        picture = Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1)
        return DecodedPicture(picture, _facts(answer["facts"]))

    @contextlib.contextmanager
    def _in_time(self, decoding: bool) -> Iterator[subprocess.Popen[bytes]]:
        """The process, killed if what is done with it takes too long. Raises _Gone."""
        process = self._started()
        with self._alarm(process) as late:
            try:
                yield process
            except (BrokenPipeError, ConnectionResetError) as error:
                self._process = None
                self._let_go(process)
                # Memory that a file takes has a bound, and is told: only others kill.
                by_file = decoding if late.is_set() else process.returncode != _KILLED
                raise _Gone(_how(process, late.is_set(), self._seconds), by_file) from error

    @contextlib.contextmanager
    def _alarm(self, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(self._seconds, end)
        alarm.daemon = True
        alarm.start()
        try:
            yield late
        finally:
            alarm.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, ready. Raises PhotoindexError where it does not become so."""
        if self._process is None:
            try:
                process = self._process = subprocess.Popen(
                    _PROGRAM,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **_ALONE},
                    **_OWN_GROUP,
                )
            except OSError as error:  # no room for another process
                raise Unreachable(_NO_START.format(error.strerror)) from error
            assert process.stdout is not None
            with self._alarm(process):
                ready = process.stdout.readline() == READY
            if not ready and not self.ended:
                self.close()
                killed = process.returncode == _KILLED  # for want of memory, or time
                told = _NO_START.format(f"exit {process.returncode}")
                raise (Unreachable if killed else PhotoindexError)(told)
        if self.ended:
            self.close()
            raise Unreachable("told to end")
        return self._process

    @staticmethod
    def _let_go(process: subprocess.Popen[bytes]) -> None:
        """Have it ended; not waiting for long, as a vanished network share may hold it."""
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)


def open_once(path: Path, wanted: Wanted) -> DecodedPicture | None:
    """One picture by a process of its own, of which there is one at a time; see `Decoder.open`."""
    with _one_at_a_time, Decoder() as decoder:
        return decoder.open(path, wanted)


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """One line of the process. Raises PictureError where it gives a reason."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise BrokenPipeError
    answer = json.loads(line)
    if "failure" in answer:
        raise (Unreachable if answer.get("passing") else PictureError)(answer["failure"])
    return dict(answer)


def _facts(table: dict[str, Any]) -> PhotoFacts:
    taken = table["taken_at"]
    return PhotoFacts(
        hash=table["hash"],
        size=table["size"],
        width=table["width"],
        height=table["height"],
        format=table["format"],
        metadata=Metadata(
            datetime.fromisoformat(taken) if taken else None,
            table["camera"],
            table["latitude"],
            table["longitude"],
        ),
    )


def _how(process: subprocess.Popen[bytes], late: bool, seconds: float) -> str:
    if late:
        return f"takes longer than {seconds:g} seconds to read and decode"
    return f"crashes its decoder (exit {process.returncode})"
