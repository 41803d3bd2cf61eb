"""`ram-tagger` as it comes: the bundled model on the demo's pictures, no model named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import photoindex.demo
from ram_tagger.sources import BUNDLED

COMMAND = Path(sys.executable).with_name("ram-tagger")
PICTURES = Path(photoindex.demo.__file__).parent / "pictures"
TRUTH = Path(__file__).parents[1] / "sketch" / "demo_truth.json"
LARGEST = 12_000_000  # bytes that the package may carry


@pytest.fixture(scope="module")
def truth() -> dict[str, set[str]]:
    table = json.loads(TRUTH.read_text(encoding="utf-8"))
    return {name: set(seen["tags"]) for name, seen in table.items()}


def tagged(*arguments: str | Path) -> list[dict[str, list[dict[str, str]]]]:
    done = subprocess.run(
        [COMMAND, "tag", *arguments, "--json"], capture_output=True, check=True, encoding="utf-8"
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_prints_true_tags_in_both_languages(truth: dict[str, set[str]]):
    printed, true = 0, 0
    for answer in tagged(*(PICTURES / name for name in truth)):
        name = Path(str(answer["path"])).relative_to(PICTURES).as_posix()
        tags = {tag["name"] for tag in answer["tags"]}
        assert tags & truth[name], name
        assert all(tag["name_zh"] for tag in answer["tags"])
        printed += len(tags)
        true += len(tags & truth[name])
    assert true / printed > 0.7
    assert true / sum(map(len, truth.values())) > 0.7


def test_it_finds_concepts_it_was_never_taught():
    """The concepts of the demo: among the most probable pictures are those that show them."""
    table = json.loads(TRUTH.read_text(encoding="utf-8"))
    concepts = ("--concepts", PICTURES.parent / "concepts.json", "--threshold", "0")
    answers = tagged(*(PICTURES / name for name in table), *concepts)
    for concept in ("zebra", "umbrella", "castle"):
        scores = {
            name: next(tag["probability"] for tag in answer["tags"] if tag["name"] == concept)
            for name, answer in zip(table, answers, strict=True)
        }
        shows = {name for name, seen in table.items() if concept in seen["drawings"]}
        best = sorted(scores, key=lambda name: -float(scores[name]))[: len(shows) + 1]
        assert shows & set(best), concept


def test_it_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= LARGEST
