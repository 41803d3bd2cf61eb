"""`photoindex add-concept` and `photoindex concepts`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typed import BUNDLED, Command


@pytest.fixture
def concepts(tmp_path: Path) -> Path:
    """A file of three concepts, one in each form."""
    file = tmp_path / "concepts.json"
    entries = json.loads((BUNDLED / "concepts.json").read_text(encoding="utf-8"))
    entries["zebra"]["threshold"] = 0.4
    entries["bare name"] = []
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file


def test_a_concept_is_found_in_photos_never_read_again(
    photoindex: Command, pictures: Path, concepts: Path
) -> None:
    outcome = photoindex("add-concept", concepts)
    told = dict(line.split(": ") for line in outcome.lines)
    assert re.fullmatch(r"\d+ of \d+ photos match \(threshold 0\.40\)", told["zebra"])
    hits = photoindex("search", "tag:zebra").out
    assert "zoo/zebra.jpg" in hits
    assert photoindex("search", "斑马").out == hits
    assert "zebra " in photoindex("tags", pictures / "zoo/zebra.jpg").out


def test_new_photos_meet_it_too(empty: Command, pictures: Path, concepts: Path) -> None:
    empty("index", pictures / "winter", "--model", "sketch")
    empty("add-concept", concepts)
    outcome = empty.spawn("index", pictures / "zoo")
    assert outcome.err == "8 photos analysed, 1 file of known photos\n"
    assert "zoo/zebra.jpg" in empty("search", "tag:zebra").out


def test_concepts_are_listed_shown_and_removed(photoindex: Command, concepts: Path) -> None:
    assert photoindex("concepts").err == "no concepts yet: photoindex add-concept FILE adds them\n"
    photoindex("add-concept", concepts)
    heading, *rows = photoindex("concepts").lines
    assert heading.split() == ["concept", "中文", "threshold", "photos", "descriptions"]
    assert len(rows) == len(json.loads(concepts.read_text(encoding="utf-8")))
    assert photoindex("concepts", "list").lines == [heading, *rows]
    assert "- a zebra" in photoindex("concepts", "show", "zebra").out
    assert "prompt templates" in photoindex("concepts", "show", "bare", "name").out
    photoindex("concepts", "remove", "bare", "name")
    assert len(photoindex("concepts").lines) == len(rows)
    assert "no concept" in photoindex("concepts", "show", "bare name", code=1).err
    assert "no concept" in photoindex("concepts", "show", "caf\udce9", code=1).err


def test_a_threshold_changes_at_once(photoindex: Command, concepts: Path) -> None:
    photoindex("add-concept", concepts)
    strict = photoindex("concepts", "threshold", "zebra", "0.999").out
    assert "(threshold 1.00)" in strict
    loose = photoindex("concepts", "threshold", "zebra", "0.06").out
    matches = [int(line.split(": ")[1].split()[0]) for line in (strict, loose)]
    assert matches[0] < matches[1]
    assert "between 0 and 1" in photoindex("concepts", "threshold", "zebra", "1.5", code=2).err
    for value in ("often", "0,5", "-1"):
        refused = photoindex("concepts", "threshold", "zebra", value, code=2).err
        assert "give a number" in refused
        assert refused.count("\n") == 1


def test_concepts_as_json(photoindex: Command, concepts: Path) -> None:
    added = photoindex("add-concept", concepts, "--json").document["concepts"]
    document = photoindex("concepts", "--json").document
    assert sorted(c["name"] for c in document["concepts"]) == sorted(c["name"] for c in added)
    assert document == photoindex("concepts", "list", "--json").document
    keys = {"name", "zh", "descriptions", "threshold", "matched", "scored"}
    assert all(set(concept) == keys for concept in document["concepts"])
    zebra = photoindex("concepts", "show", "zebra", "--json").document
    assert zebra in document["concepts"]
    assert zebra["zh"] == "斑马"
    changed = photoindex("concepts", "threshold", "zebra", "0.7", "--json").document
    assert (changed["name"], changed["threshold"]) == ("zebra", 0.7)
    assert photoindex("concepts", "remove", "zebra", "--json").document == changed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not json", "not JSON"),
        ("{}", "no concept"),
        ('{"zebra": ["stripes"], "snow leopard": "a cat"}', '"snow leopard"'),
        ('{"zebra": ["stripes"], "snow leopard": ["a cat", 7]}', '"snow leopard": description 2'),
        ('{"zebra": {"descriptions": ["s"], "threshold": 2}}', '"zebra": threshold'),
        ('{"zebra": {"discriptions": ["s"]}}', '"discriptions"'),
    ],
)
def test_a_malformed_file_is_refused_whole(
    photoindex: Command, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text, encoding="utf-8")
    outcome = photoindex("add-concept", file, code=2)
    assert told in outcome.err
    assert str(file) in outcome.err
    assert outcome.err.count("\n") == 1
    assert photoindex("concepts", "--json").document == {"concepts": []}


def test_a_file_that_is_not_there(photoindex: Command) -> None:
    assert "/no/concepts.json" in photoindex("add-concept", "/no/concepts.json", code=2).err
