"""Looking at folders again: where nothing changed, where a folder moved, where all is new."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from figures import Bench, Figure, median_seconds

from photoindex import Library, Settings
from photoindex.analysis.catch_up import compare
from photoindex.analysis.file_table import FileTable
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import NewAnalysis
from photoindex.photo import FileRow, FileStamp, FoundFile, PhotoFacts, found_file
from photoindex.photos.walk import Scan
from photoindex.tagger import Analysis, StoredPhoto

PART = "catching up"
MANY, FEW, MOVED, PER_FOLDER = 100_000, 1_000, 10_000, 1_000
ROUNDS = 5
_PROGRAM = Path(sys.executable).with_name("photoindex")


def measure(bench: Bench) -> Iterator[Figure]:
    """Whole runs of `photoindex index` in processes of their own, then what they are made of."""
    many = min(MANY, bench.photos)
    small, large = (stocked(bench.folder / f"catching-up-{n}", n, bench.log) for n in (FEW, many))
    start = median_seconds(lambda: _run("--version"), ROUNDS)
    quick = median_seconds(small.index, ROUNDS)
    whole = median_seconds(large.index, ROUNDS)
    plain = median_seconds(large.compare_plainly, 3)
    yield Figure(
        PART, f"index of {FEW:,} unchanged files", quick, "s", start, "the bare command", "<= 0.5 s"
    )
    yield Figure(
        PART, f"index of {many:,} unchanged files", whole, "s", plain, "walk and dict", "<= 2 s"
    )
    yield Figure(
        PART,
        *(f"peak memory of that, {many:,} files", _peak(*large.command), "MiB"),
        *(_peak(*small.command), f"{FEW:,} files", "flat"),
    )
    alone = median_seconds(large.compare, 3)
    yield Figure(
        PART, f"the comparison of {many:,} files alone", alone, "s", plain, "walk and dict"
    )
    moved = min(MOVED, many // 2)
    yield Figure(
        *(PART, f"index after {moved:,} of {many:,} were moved", large.index_moved(moved), "s"),
        *(whole, "nothing moved"),
    )
    rows = [_made_up(number) for number in range(many)]
    table = _bytes(lambda: FileTable(rows)) / many
    records = _bytes(lambda: [found_file(row) for row in rows]) / many
    yield Figure(PART, "memory that a new file takes", table, "bytes", records, "a list of records")


class Stocked:
    """A folder of files, and a library that knows all of them as they are."""

    def __init__(self, folder: Path) -> None:
        self.photos = folder / "photos"
        self.library = folder / "library"
        self.command = ("--library", self.library, "index", self.photos, "--model", "sketch")

    def index(self) -> None:
        """Run the command to its end."""
        _run(*self.command)

    def compare(self) -> None:
        """What a run does for every file."""
        with Catalog.open(self.library / "catalog.db") as catalog:
            result = compare(Scan(self.photos).rows(), catalog.files.known_under(self.photos))
        assert result.unchanged == result.seen > 0

    def compare_plainly(self) -> None:
        """The same the plain way: all files and all records in memory."""
        with Catalog.open(self.library / "catalog.db") as catalog:
            known = {record.path: record.stamp for record in catalog.files.under(self.photos)}
        for top, _, names in os.walk(self.photos):
            for name in names:
                path = Path(top) / name
                status = path.stat()
                now = FoundFile(
                    path,
                    FileStamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev),
                )
                assert known.pop(now.path) == now.stamp
        assert not known

    def index_moved(self, count: int) -> float:
        """Seconds of a run after folders with `count` files were moved; there and back."""
        folders = sorted(self.photos.iterdir())[: count // PER_FOLDER]
        elsewhere = self.photos / "moved"
        elsewhere.mkdir()
        for folder in folders:
            folder.rename(elsewhere / folder.name)
        there = _seconds(self.index)
        for folder in folders:
            (elsewhere / folder.name).rename(folder)
        elsewhere.rmdir()
        back = _seconds(self.index)
        return (there + back) / 2


def stocked(folder: Path, count: int, log: Callable[[str], None]) -> Stocked:
    """Small files and their synthetic analyses; what an earlier run made is used again."""
    made, done = Stocked(folder), folder / "done"
    if done.exists():
        return made
    shutil.rmtree(folder, ignore_errors=True)
    log(f"making {count:,} files and their library in {folder}")
    for number in range(count):
        file = made.photos / f"{2000 + number // PER_FOLDER}" / f"IMG_{number % PER_FOLDER:04}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\xd8\xff" + str(number).encode())
    with Library.open(Settings(library=made.library, model="sketch")) as library:
        card = library.models.describe("sketch")
    chance = np.random.default_rng(7)
    with Catalog.open(made.library / "catalog.db") as catalog:
        catalog.models.register(card.model_id, "sketch", card.embedding_size, card.vocabulary)
        catalog.models.activate(card.model_id)
        found = iter(Scan(made.photos))
        while batch := list(islice(found, 1000)):
            embeddings = chance.standard_normal((len(batch), card.embedding_size))
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
            catalog.analyses.record(
                [
                    _analysed(file, row)
                    for file, row in zip(batch, embeddings.astype(np.float32), strict=True)
                ],
                card.model_id,
            )
    made.index()  # the vector index
    done.touch()
    return made


def _analysed(file: FoundFile, embedding: np.ndarray) -> NewAnalysis:
    content = hashlib.blake2b(os.fsencode(file.path), digest_size=32).hexdigest()
    facts = PhotoFacts(content, file.stamp.size, 40, 30, "JPEG")
    return NewAnalysis(facts, (file,), Analysis((), StoredPhoto(embedding, None)))


def _made_up(number: int) -> FileRow:
    path = f"/home/somebody/Pictures/{number // PER_FOLDER}/IMG_{number:08}.jpg"
    return path.encode(), 3_000_000 + number, 10**18 + number, 10**6 + number, 64_769


def _bytes(make: Callable[[], object]) -> int:
    """What an object takes in memory."""
    tracemalloc.start()
    try:
        kept = make()
        taken, _ = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return taken


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# A process is said to have taken at least what the one took that started it: so a small one does.
_LAUNCHER = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def _run(*words: str | Path) -> None:
    """Run `photoindex` in a process of its own."""
    subprocess.run([_PROGRAM, *words], check=True, capture_output=True)


def _peak(*words: str | Path) -> float:
    """The same. Returns the most memory that it took, in MiB."""
    launched = [sys.executable, "-S", "-c", _LAUNCHER, _PROGRAM, *words]
    told = subprocess.run(launched, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return int(told.stdout) / 1024
