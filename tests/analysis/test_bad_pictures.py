"""A folder of all that can be wrong with pictures: each is analysed or refused with a reason.

Nothing else happens: no file is touched that should not be, none takes the run down, and memory
stays under a bound, whatever files say of their size.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_pictures import (
    HOSTILE,
    Readable,
    blank_png,
    endless_jpeg,
    lay_no_files,
    panorama,
    readable,
    refused,
)
from PIL import Image

import photoindex.demo
from photoindex import Library, Settings
from photoindex.analysis.reading import READERS
from photoindex.analysis.tally import Tally
from photoindex.errors import NothingFound
from photoindex.photos.decode import MAX_REDUCED
from photoindex.photos.decoder import Decoder
from photoindex.photos.decoder_process import MEMORY

GOOD = Path(photoindex.demo.__file__).parent / "pictures" / "zoo"
BATCH = 8
PANORAMA = (20_000, 1_500)
STRIPS, STRIP = 6, (200_000, 380)  # too narrow to be made smaller by their shorter side
OWN = 1 << 30  # of the process that analyses: its libraries, the model, the batch in the network
WAITING = (3 * BATCH + READERS) * 4 * MAX_REDUCED  # pictures read ahead and in hand
BOUND = OWN + WAITING + READERS * MEMORY


@dataclass(frozen=True, slots=True)
class Indexed:
    """The folder, its library, and how the command went that filled it."""

    folder: Path
    library: Path
    untouched: tuple[Path, ...]
    said: str
    own_memory: int  # bytes that the command itself had at most
    memory: int  # the same together with the processes that it started


@pytest.fixture(scope="module")
def odd() -> dict[str, Readable]:
    with Image.open(GOOD / "lions.jpg") as lions:
        return readable(lions)


@pytest.fixture(scope="module")
def bad() -> dict[str, tuple[bytes, str]]:
    return refused((GOOD / "zebra.jpg").read_bytes(), (GOOD / "peacock.png").read_bytes())


@pytest.fixture(scope="module")
def indexed(
    tmp_path_factory: pytest.TempPathFactory,
    odd: dict[str, Readable],
    bad: dict[str, tuple[bytes, str]],
) -> Iterator[Indexed]:
    """Everything at once, as `photoindex index` finds it."""
    top = tmp_path_factory.mktemp("bad")
    folder = Path(shutil.copytree(GOOD, top / "photos"))
    for name, file in odd.items():
        (folder / name).write_bytes(file.content)
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    (folder / "panorama.jpg").write_bytes(panorama(*PANORAMA))
    long = blank_png(*STRIP, 2)
    for number in range(STRIPS):
        (folder / f"strip {number}.png").write_bytes(long + b"%d" % number)
    (folder / "black.png").write_bytes(blank_png(16_000, 16_000, 2))
    outside = Path(shutil.copy(GOOD / "panda.webp", top / "outside.webp"))
    untouched = lay_no_files(folder / "no files", outside)
    with nothing_opens([path for path in untouched if path.is_fifo()]):
        said, own, memory = _index(folder, top)
    yield Indexed(folder, top / "library", untouched, said, own, memory)


@pytest.fixture
def filled(indexed: Indexed) -> Iterator[Library]:
    with Library.open(Settings(library=indexed.library, model="sketch")) as library:
        yield library


def test_good_pictures_are_analysed_whatever_lies_beside_them(
    filled: Library, indexed: Indexed
) -> None:
    for path in GOOD.iterdir():
        assert filled.photo(indexed.folder / path.name).facts.size == path.stat().st_size
    assert "lion" in {tag.name for tag in filled.tags_of(indexed.folder / "lions.jpg")}


def test_odd_pictures_are_analysed_as_what_they_show(
    filled: Library, indexed: Indexed, odd: dict[str, Readable]
) -> None:
    for name, file in odd.items():
        facts = filled.photo(indexed.folder / name).facts
        assert ((facts.width, facts.height), facts.format) == (file.size, file.format), name
        assert file.tag in {tag.name for tag in filled.tags_of(indexed.folder / name)}, name


def test_the_largest_pictures_are_analysed(filled: Library, indexed: Indexed) -> None:
    sizes = {f"strip {number}.png": STRIP for number in range(STRIPS)}
    for name, size in {**sizes, "panorama.jpg": PANORAMA, "black.png": (16_000, 16_000)}.items():
        facts = filled.photo(indexed.folder / name).facts
        assert (facts.width, facts.height) == size


def test_what_cannot_be_read_is_recorded_with_the_reason(
    filled: Library, indexed: Indexed, bad: dict[str, tuple[bytes, str]]
) -> None:
    failures = {file.path.name: file.failure or "" for file in filled.failures()}
    assert failures.keys() == bad.keys()
    for name, (_, reason) in bad.items():
        assert failures[name].startswith(reason), name
        assert failures[name].isprintable()


def test_nonsense_in_exif_counts_as_nothing_said(filled: Library, indexed: Indexed) -> None:
    said = filled.photo(indexed.folder / "hostile exif.jpg").facts.metadata
    assert said.camera is not None and said.camera.isprintable()
    assert "DROP TABLE" in said.camera and len(said.camera) < len(HOSTILE) + 100
    assert (said.taken_at, said.latitude, said.longitude) == (None, None, None)
    assert filled.photo(indexed.folder / "broken exif.jpg").facts.metadata.taken_at is None


def test_what_is_no_file_is_left_alone(filled: Library, indexed: Indexed) -> None:
    for path in indexed.untouched:
        with pytest.raises(NothingFound):
            filled.photo(path)
    assert str(indexed.folder / "no files") not in indexed.said


def test_memory_stays_under_the_bound(
    indexed: Indexed, record_property: Callable[[str, object], None]
) -> None:
    record_property("MiB of the command at most", indexed.own_memory >> 20)
    record_property("MiB together at most", indexed.memory >> 20)
    assert indexed.own_memory <= OWN + WAITING
    assert indexed.memory <= BOUND


def test_a_second_run_finds_nothing_to_do(filled: Library, indexed: Indexed) -> None:
    assert filled.index([indexed.folder]) == Tally()


def test_files_that_change_after_they_were_found_are_seen_again(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "lions.jpg").read_bytes()
    names = [f"{kind}.jpg" for kind in ("pipe", "loop", "out", "half", "folder", "gone")]
    pipe, loop, out, half, inner, gone = (folder / name for name in names)
    for number, name in enumerate(names):
        (folder / name).write_bytes(whole + b"%d" % number)

    def change(what: str, done: int, total: int | None) -> None:
        if (what, done) != ("analysing", 0):
            return
        for path in (pipe, loop, out, inner, gone):
            path.unlink()
        os.mkfifo(pipe)
        loop.symlink_to(loop)
        out.symlink_to(Path(shutil.copy(GOOD / "panda.webp", tmp_path / "outside.webp")))
        os.truncate(half, len(whole) // 2)
        inner.mkdir()

    assert library.index([folder], change) == Tally(analysed=8, unsettled=6)
    assert library.failures() == ()
    assert library.index([folder]) == Tally(failed=1)
    (failure,) = library.failures()
    assert (failure.path, failure.failure) == (half, "truncated JPEG")


def test_a_file_that_shrinks_and_grows_while_it_is_read(library: Library, folder: Path) -> None:
    restless, whole = folder / "a.jpg", (folder / "lions.jpg").read_bytes() + b"more"
    restless.write_bytes(whole)
    reading, read = threading.Event(), threading.Event()

    def shrink() -> None:
        reading.wait()
        while not read.is_set():
            os.truncate(restless, 0)
            os.truncate(restless, 200 << 20)

    def begin(what: str, done: int, total: int | None) -> None:
        if what == "analysing":
            reading.set()

    thread = threading.Thread(target=shrink)
    thread.start()
    try:
        tally = library.index([folder], begin)
    finally:
        reading.set()
        read.set()
        thread.join()
    assert (tally.analysed, tally.unsettled) == (8, 1)
    restless.write_bytes(whole)
    assert library.index([folder]) == Tally(analysed=1)


def test_a_run_outlives_its_decoders(open_library: Callable[..., Library], folder: Path) -> None:
    killed: set[int] = set()

    def kill(what: str, done: int, total: int | None) -> None:
        if what == "analysing" and done and not killed:
            for process in _decoders(os.getpid()):
                os.kill(process, signal.SIGKILL)
                killed.add(process)

    with open_library(batch_size=2) as library:
        assert library.index([folder], kill) == Tally(analysed=8)
    assert killed


def test_a_file_that_never_ends_is_given_up(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some hundred kilobytes over which a decoder would sit for many seconds."""
    limited = functools.partial(Decoder, 2.0)
    monkeypatch.setattr("photoindex.analysis.reading.Decoder", limited)
    (folder / "endless.jpg").write_bytes(endless_jpeg(8000, 5000))
    assert library.index([folder]) == Tally(analysed=8, failed=1)
    (failure,) = library.failures()
    assert (failure.failure or "").startswith("takes longer than 2 seconds")


@contextmanager
def nothing_opens(pipes: list[Path]) -> Iterator[None]:
    """Each pipe has a writer waiting, which gets through as soon as anything reads from it."""
    opened: list[Path] = []

    def write(pipe: Path) -> None:
        with pipe.open("wb"):
            opened.append(pipe)

    threads = [threading.Thread(target=write, args=(pipe,)) for pipe in pipes]
    for thread in threads:
        thread.start()
    try:
        yield
        assert opened == []
    finally:
        for pipe, thread in zip(pipes, threads, strict=True):
            end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            thread.join()
            os.close(end)


def _index(folder: Path, top: Path) -> tuple[str, int, int]:
    """The real command: what it said, its largest memory, and that with its processes together."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PHOTOINDEX_")}
    environment.update(
        PHOTOINDEX_LIBRARY=str(top / "library"),
        PHOTOINDEX_MODEL="sketch",
        PHOTOINDEX_BATCH_SIZE=str(BATCH),
        XDG_CONFIG_HOME=str(top),
        XDG_DATA_HOME=str(top),
    )
    with (top / "said").open("wb") as said:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("photoindex"), "index", folder],
            env=environment,
            stdout=said,
            stderr=said,
        )
        own = memory = 0
        while process.poll() is None:
            own = max(own, _largest(process.pid))
            memory = max(memory, own + sum(map(_largest, _decoders(process.pid))))
            threading.Event().wait(0.05)
    text = (top / "said").read_text()
    assert process.returncode == 0, text
    return text, own, memory


def _decoders(parent: int) -> list[int]:
    """The processes that decode for another one."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in listed if "decoder_process" in line]


def _largest(process: int) -> int:
    """The most memory in bytes that a process had so far; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)
