"""Opening pictures in a process apart, with bounds on memory and time: nothing takes this one down.

The formats' libraries are written in C and read files from anywhere. A file that crashes one, eats
memory or hangs costs a process that is started again; the file is recorded with the reason.
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

from photoindex.errors import PictureError
from photoindex.photo import Metadata, PhotoFacts
from photoindex.photos.decode import DecodedPicture

SECONDS = 60.0
"""How long one file may take to be read and decoded: panoramas on slow disks take a few."""
Wanted = Callable[[str], int | None]
"""Told a file's hash (hex BLAKE2b-256), says how large the picture has to be along its shorter side
(see `decode_picture`), or None where it need not be decoded."""
_PROGRAM = (sys.executable, "-P", "-m", "photoindex.photos.decoder_process")
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class DecoderGone(Exception):
    """The process ended or was ended in the middle of a file; the message says how."""


class Decoder:
    """One process that opens one file at a time. For one thread."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

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
        Raises PictureError with the reason in plain words.
        """
        try:
            return self._open(path, wanted)
        except DecoderGone:
            try:
                return self._open(path, wanted)
            except DecoderGone as error:
                raise PictureError(str(error)) from error

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._let_go(self._process)
            self._process = None

    def _open(self, path: Path, wanted: Wanted) -> DecodedPicture | None:
        with self._in_time() as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(os.fspath(path)).encode() + b"\n")
            process.stdin.flush()
            content = str(_answer(process)["hash"])
        try:
            side = wanted(content)
        except BaseException:
            self.close()  # it waits for an answer
            raise
        with self._in_time() as process:
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
    def _in_time(self) -> Iterator[subprocess.Popen[bytes]]:
        """The process, killed if what is done with it takes too long. Raises DecoderGone."""
        process = self._started()
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(self._seconds, end)
        alarm.daemon = True
        alarm.start()
        try:
            yield process
        except (BrokenPipeError, ConnectionResetError) as error:
            self._process = None
            self._let_go(process)
            raise DecoderGone(_how(process, late.is_set(), self._seconds)) from error
        finally:
            alarm.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                _PROGRAM,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ALONE},
            )
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


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """One line of the process. Raises PictureError where it gives a reason."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise BrokenPipeError
    answer = json.loads(line)
    if "failure" in answer:
        raise PictureError(answer["failure"])
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
        return f"takes longer than {seconds:g} seconds to decode"
    return f"crashes its decoder (exit {process.returncode})"
