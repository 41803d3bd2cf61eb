"""Twenty thousand file events through a watcher: it ends up true to the folder, and no larger.

PHOTOINDEX_SOAK_EVENTS: another number of them, to try something out.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from disturbed import Place, Undisturbed, assert_alike, listed, look

EVENTS = int(os.environ.get("PHOTOINDEX_SOAK_EVENTS", "20000"))
SAMPLES = (30, 50, 75, 100)  # per cent of the events; the first is the warm-up
PATIENCE = 240.0
GROWTH = 24 << 20  # bytes that allocators may keep in the second half without anything being lost
pytestmark = pytest.mark.timeout(900)


@dataclass(slots=True)
class Disturber:
    """Creates, copies, rewrites, renames and deletes files at random, and counts what it did.

    Contents are those of known pictures, so that most of what happens is about files, not photos.
    """

    folder: Path
    contents: list[bytes]
    chance: random.Random
    done: int = 0
    made: int = 0
    files: list[Path] = field(default_factory=list)

    def go_on(self, events: int) -> None:
        """So many more events, in bursts."""
        end = self.done + events
        while self.done < end:
            for _ in range(self.chance.randint(1, 400)):
                self._something()
            time.sleep(self.chance.choice((0.0, 0.05, 0.4)))

    def _something(self) -> None:
        self.chance.choices(
            (self._create, self._rewrite, self._rename, self._delete, self._rename_folder),
            (40, 15, 15, 25 if len(self.files) < 400 else 60, 1),
        )[0]()

    def _create(self) -> None:
        self.made += 1
        path = self.folder / f"album {self.chance.randrange(12)}" / f"{self.made}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.chance.choice(self.contents))
        self.files.append(path)
        self.done += 1

    def _rewrite(self) -> None:
        for path in self._some():
            path.write_bytes(self.chance.choice(self.contents))

    def _rename(self) -> None:
        for path in self._some():
            self.made += 1
            self.files.remove(path)
            self.files.append(path.rename(path.with_name(f"moved {self.made}.jpg")))

    def _delete(self) -> None:
        for path in self._some():
            path.unlink()
            self.files.remove(path)

    def _rename_folder(self) -> None:
        folders = sorted({path.parent for path in self.files})
        if not folders:
            return
        self.made += 1
        old = self.chance.choice(folders)
        new = old.rename(self.folder / f"album moved {self.made}")
        self.files = [new / path.name if path.parent == old else path for path in self.files]
        self.done += 1

    def _some(self) -> Iterator[Path]:
        if self.files:
            self.done += 1
            yield self.chance.choice(self.files)


@dataclass(frozen=True, slots=True)
class Taken:
    """memory: resident bytes of a process and its children; files: how many it has open."""

    memory: int
    files: int


def test_many_events(
    undisturbed: Undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    place = Place(tmp_path, tmp_path / "pictures")
    place.pictures.mkdir()
    whole = [p for p in sorted(undisturbed.pictures.rglob("*.jpg")) if "broken" not in p.name]
    disturber = Disturber(
        place.pictures, [path.read_bytes() for path in whole[:60]], random.Random(3)
    )
    watcher = place.start("watch", str(place.pictures))
    taken: dict[int, Taken] = {}
    try:
        for share in SAMPLES:
            disturber.go_on(EVENTS * share // 100 - disturber.done)
            _until_true(place, watcher)
            taken[share] = _taken(watcher.pid)
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(60) == 0
    record_property("events", disturber.done)
    record_property("files in the end", len(disturber.files))
    for share, sample in taken.items():
        record_property(f"MiB at {share} %", sample.memory >> 20)
        record_property(f"open files at {share} %", sample.files)
    assert taken[100].memory <= taken[50].memory + GROWTH
    assert taken[100].files == taken[50].files
    assert disturber.done >= EVENTS
    seen = look(place.library)
    assert seen.photos.keys() == {p.relative_to(place.pictures).as_posix() for p in disturber.files}
    shutil.rmtree(place.library)  # the same folder, seen by a library that saw nothing happen
    place.run("index", str(place.pictures))
    assert_alike(look(place.library), seen)


def _until_true(place: Place, watcher: subprocess.Popen[bytes]) -> None:
    """Wait until the library lists just the files that are there, with what is in them."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert watcher.poll() is None
        time.sleep(1.0)
        there = {
            str(path): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in place.pictures.rglob("*.jpg")
        }
        if there == listed(place.library):
            return
    raise AssertionError("the watcher did not catch up with the folder")


def _taken(pid: int) -> Taken:
    told = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    pids = [pid, *(int(child) for words in told for child in words.split())]
    pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids]
    return Taken(
        sum(pages) * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir()))
    )
