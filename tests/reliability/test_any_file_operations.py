"""Whatever happens to files between two looks, the library lists what is there, and loses no tag.

What it must contain is kept beside it as plainly as can be: which content lies at which path, and
what people said of which content.

PHOTOINDEX_OPERATIONS_EXAMPLES: another number of libraries, to try something out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from disturbed import draw, look
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from photoindex import Library, Settings
from photoindex.photo import Source

EXAMPLES = int(os.environ.get("PHOTOINDEX_OPERATIONS_EXAMPLES", "100"))
STEPS = 30
FOLDERS = ("", "a", "a/b", "c")
NAMES = tuple(f"{number}.jpg" for number in range(4))
TAGS = ("ours", "theirs")
PATHS = st.builds(
    lambda folder, name: Path(folder, name), st.sampled_from(FOLDERS), st.sampled_from(NAMES)
)
pytestmark = pytest.mark.timeout(900)


CONTENTS, BROKEN = st.integers(0, 5), 5
counted: Counter[str] = Counter()


@cache
def contents() -> tuple[bytes, ...]:
    """Five pictures, and one of them cut short."""
    with tempfile.TemporaryDirectory() as folder:
        whole = [
            path.read_bytes() for path in sorted(draw(Path(folder) / "drawn", 8).rglob("*.jpg"))
        ]
    assert len(set(whole)) >= 5
    return (*whole[:5], whole[0][: len(whole[0]) // 2])


class AnyFileOperations(RuleBasedStateMachine):
    """there: the content at each path; said: the tags that people gave each content."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[Path, int] = {}
        self.said: dict[int, set[str]] = {}
        self.top = Path(tempfile.mkdtemp(prefix="photoindex-operations-"))
        self.pictures = self.top / "pictures"
        self.pictures.mkdir()
        self.library = Library.open(
            Settings(
                library=self.top / "library",
                models=self.top / "models",
                model="sketch",
                device="cpu",
            )
        )
        counted["libraries"] += 1

    def teardown(self) -> None:
        """Whatever came after the last look is looked at as well."""
        try:
            if sys.exc_info()[0] is None:  # no step has failed
                self.look()
                counted["looks at the end"] += 1
        finally:
            self.library.close()
            shutil.rmtree(self.top)

    @rule(path=PATHS, content=CONTENTS)
    def write(self, path: Path, content: int) -> None:
        file = self.pictures / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents()[content])
        self.there[path] = content

    @rule(path=PATHS, content=CONTENTS)
    def replace(self, path: Path, content: int) -> None:
        """As careful programs save: written aside, then moved into place."""
        aside = self.top / "aside"
        aside.write_bytes(contents()[content])
        (self.pictures / path).parent.mkdir(parents=True, exist_ok=True)
        aside.rename(self.pictures / path)
        self.there[path] = content

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: Path, new: Path) -> None:
        if old in self.there and old != new:
            (self.pictures / new).parent.mkdir(parents=True, exist_ok=True)
            (self.pictures / old).rename(self.pictures / new)
            self.there[new] = self.there.pop(old)

    @rule(one=PATHS, other=PATHS)
    def swap(self, one: Path, other: Path) -> None:
        if one in self.there and other in self.there and one != other:
            for old, new in ((one, Path("../aside")), (other, one), (Path("../aside"), other)):
                (self.pictures / old).rename(self.pictures / new)
            self.there[one], self.there[other] = self.there[other], self.there[one]

    @rule(path=PATHS)
    def delete(self, path: Path) -> None:
        if self.there.pop(path, None) is not None:
            (self.pictures / path).unlink()

    @rule(old=st.sampled_from(FOLDERS[1:]), new=st.sampled_from(("d", "a/e")))
    def rename_folder(self, old: str, new: str) -> None:
        """Away and, where it was away, back again."""
        one, other = self.pictures / old, self.pictures / new
        if other.exists():
            one, other, old, new = other, one, new, old
        if (
            one.exists()
            and not other.exists()
            and other.parent.exists()
            and one not in other.parents
        ):
            one.rename(other)
            inside = [path for path in self.there if path.is_relative_to(old)]
            for path in inside:
                self.there[Path(new) / path.relative_to(old)] = self.there.pop(path)

    @rule(path=PATHS)
    def touch(self, path: Path) -> None:
        if path in self.there:
            (self.pictures / path).touch()

    @rule(data=st.data(), tag=st.sampled_from(TAGS), on=st.booleans())
    def say(self, data: st.DataObject, tag: str, on: bool) -> None:
        """Of a picture, just after it was looked at."""
        self.look()
        same = sorted(path for path, content in self.there.items() if content != BROKEN)
        if same:
            path = data.draw(st.sampled_from(same))
            change = self.library.tag if on else self.library.untag
            said = self.said.setdefault(self.there[path], set())
            if on or tag in said:
                change([self.pictures / path], tag)
                (said.add if on else said.discard)(tag)
                counted["tags given or taken"] += 1

    @rule()
    def look(self) -> None:
        counted["looks"] += 1
        self.library.index([self.pictures])
        seen = look(self.top / "library")
        whole = {path: c for path, c in self.there.items() if c != BROKEN}
        assert seen.failures.keys() == {p.as_posix() for p in self.there.keys() - whole.keys()}
        assert {name: photo.hash for name, photo in seen.photos.items()} == {
            path.as_posix(): _hash(content) for path, content in whole.items()
        }
        for path, content in whole.items():
            ours = {t[0] for t in seen.photos[path.as_posix()].tags if t[1] == Source.USER.value}
            assert ours == self.said.get(content, set()), path
        again = self.library.index([self.pictures])
        assert again.analysed == again.moved == again.deleted == again.linked == again.failed == 0


def _hash(content: int) -> str:
    return hashlib.blake2b(contents()[content], digest_size=32).hexdigest()


def test_any_file_operations(record_property: Callable[[str, object], None]) -> None:
    counted.clear()
    run_state_machine_as_test(
        AnyFileOperations,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
    assert counted["looks at the end"] >= EXAMPLES
    for what, times in counted.items():
        record_property(what, times)
