"""What a hostile or merely huge concept file costs: little, and nothing is half-added."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from photoindex import Library, Settings
from photoindex.analysis import concepts as scoring
from photoindex.catalog import concepts as kept
from photoindex.concept_file import (
    LARGEST_FILE,
    MOST_IN_A_FILE,
    parse_concepts,
    read_concepts,
)
from photoindex.errors import ConceptError

READ = """
import sys
from pathlib import Path
from photoindex.concept_file import read_concepts
from photoindex.errors import ConceptError
try:
    print(len(read_concepts(Path(sys.argv[1]))))
except ConceptError as error:
    sys.exit(f"refused: {error}")
"""
MEMORY = 700 << 20
"""Bytes of address space for a process that reads such a file, Python and all."""


def read_with_little_memory(path: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )


def test_a_gigabyte_is_refused_with_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.touch()
    os.truncate(path, 1 << 30)
    ended = read_with_little_memory(path)
    assert ended.returncode == 1
    assert ended.stderr == f"refused: {path}: larger than 64 MB: split it\n"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device without end")
def test_what_has_no_end_is_refused_with_little_memory() -> None:
    ended = read_with_little_memory("/dev/zero")
    assert "larger than 64 MB" in ended.stderr


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('{"cat": ["furry"]}',))
    writer.start()
    assert [concept.name for concept in read_concepts(pipe)] == ["cat"]
    writer.join()


def test_the_largest_file_may_nest_as_deep_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_bytes(b"[" * LARGEST_FILE)
    ended = read_with_little_memory(path)
    assert "nested too deeply" in ended.stderr, ended


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("text", ['{"cat": %s}', '{"cat": [%s]}', '{"cat": {"threshold": %s}}'])
def test_what_is_no_number_is_refused_wherever_it_stands(constant: str, text: str) -> None:
    with pytest.raises(ConceptError, match="is no number"):
        parse_concepts(text % constant)


def test_a_name_twice_among_very_many_is_found(tmp_path: Path) -> None:
    """In one pass: comparing each with each would take hours."""
    path = tmp_path / "concepts.json"
    entries = [f'"thing {number}": []' for number in range(300_000)]
    path.write_text("{" + ",".join([*entries, '"thing 299999": []']) + "}", encoding="utf-8")
    ended = read_with_little_memory(path)
    assert '"thing 299999" stands there twice' in ended.stderr, ended


def test_a_hundred_thousand_concepts_are_read_but_not_added_at_once(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(json.dumps({f"thing {number}": [] for number in range(100_000)}))
    assert len(read_concepts(path)) == 100_000
    settings = Settings(library=tmp_path / "library", models=tmp_path / "models", model="sketch")
    with Library.open(settings) as library:
        with pytest.raises(ConceptError, match="files of at most 10,000"):
            library.add_concepts(path)
        assert library.concepts() == ()


def test_millions_of_descriptions_are_refused_unread_by_any_model(tmp_path: Path) -> None:
    """40 MB whose embeddings would take 20 GB, though no concept has too many descriptions."""
    path = tmp_path / "concepts.json"
    thousand = "[" + ",".join(['"a"'] * 1000) + "]"
    entries = (f'"thing {number}": {thousand}' for number in range(10_000))
    path.write_text("{" + ",".join(entries) + "}", encoding="utf-8")
    assert path.stat().st_size < LARGEST_FILE
    ended = read_with_little_memory(path)
    assert f"10,000,000 descriptions: write at most {MOST_IN_A_FILE:,}" in ended.stderr, ended


def test_a_library_takes_so_many_descriptions_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many files they are in: a watcher holds them all."""
    pictures = Path(__file__).parents[1] / "photoindex/demo/pictures/zoo"

    def written(concepts: dict[str, list[str]]) -> Path:
        path = tmp_path / "concepts.json"
        path.write_text(json.dumps(concepts))
        return path

    settings = Settings(library=tmp_path / "library", models=tmp_path / "models", model="sketch")
    monkeypatch.setattr(kept, "MOST_DESCRIPTIONS", 10)
    with Library.open(settings) as library:
        library.index([pictures])
        library.add_concepts(written({"one": ["a", "b", "c"], "bare": []}))  # 6 templates
        before = library.concepts()
        for more in ({"two": ["a", "b"]}, {"two": []}, {"ONE": ["a", "b", "c", "d", "e"]}):
            with pytest.raises(ConceptError, match=r"10 are the most.*concepts remove NAME"):
                library.add_concepts(written(more))
            assert library.concepts() == before
        library.add_concepts(written({"one": ["a", "b"], "two": ["a", "b"]}))
        library.remove_concept("bare")
        library.add_concepts(written({"two": [], "three": ["a", "b"]}))
        assert [record.scored for record in library.concepts()] == [8, 8, 8]


def test_too_many_descriptions_for_a_library_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(json.dumps({f"thing {n}": ["a"] * 1000 for n in range(101)}))
    settings = Settings(library=tmp_path / "library", models=tmp_path / "models", model="sketch")
    with Library.open(settings) as library:
        with pytest.raises(ConceptError, match="101,000 descriptions"):
            library.add_concepts(path)
        assert library.concepts() == ()


def test_a_large_library_takes_fewer_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Path(__file__).parents[1] / "photoindex/demo/pictures/zoo"
    many, few = tmp_path / "many.json", tmp_path / "few.json"
    many.write_text('{"one": [], "two": [], "three": []}')
    few.write_text('{"one": [], "two": []}')
    settings = Settings(library=tmp_path / "library", models=tmp_path / "models", model="sketch")
    monkeypatch.setattr(scoring, "MOST_FIGURES", 2 * 8)
    with Library.open(settings) as library:
        library.index([pictures])
        with pytest.raises(ConceptError, match="files of at most 2"):
            library.add_concepts(many)
        assert library.concepts() == ()
        assert [record.scored for record in library.add_concepts(few)] == [8, 8]
