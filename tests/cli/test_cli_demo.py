"""`photoindex demo`, as `make demo` runs it on a fresh machine."""

from __future__ import annotations

import json
from pathlib import Path

from typed import BUNDLED, TRUTH, Command

PICTURES = sum(path.is_file() for path in (BUNDLED / "pictures").rglob("*"))


def _hits(out: str, query: str) -> set[str]:
    """The pictures that the demo's search prints: file names below the demo's own folder."""
    block = next(part for part in out.split("\n== ") if "search" in part and query in part)
    return {line.split("  ")[1].strip() for line in block.splitlines()[3:] if line.strip()}


def test_the_demo_shows_the_main_job(empty: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my demo"
    out = empty.spawn("demo", "--folder", folder).out
    assert f"{PICTURES} photos analysed" in out
    assert "as tag: cat" in out and "beach-trip-03.jpg" in out
    assert "search '狗'" in out and "home/dog.jpg" in out
    assert "as a concept: birthday party with a cake" in out
    assert f"of {PICTURES} photos match" in out
    added = out.partition("add-concept")[2]
    drawn = json.loads(TRUTH.read_text(encoding="utf-8"))
    for concept in json.loads((BUNDLED / "concepts.json").read_text(encoding="utf-8")):
        holding = sum(concept in shown["drawings"] for shown in drawn.values())
        assert f"{concept}: {holding} of {PICTURES} photos match" in added
    zebras = {name for name, shown in drawn.items() if "zebra" in shown["drawings"]}
    assert _hits(added, "tag:") == zebras
    assert _hits(added, "a cat on a beach") == {
        name
        for name, shown in drawn.items()
        if "cat" in shown["drawings"] and "beach" in shown["tags"]
    }
    assert "concepts threshold" in added
    assert f"photoindex --library '{folder}/library'" in out  # as the shell takes it
    assert "RAM++" in out
    again = empty.spawn("demo", "--folder", folder).out
    assert "0 photos analysed" in again


def test_a_folder_that_cannot_be_written(empty: Command, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    outcome = empty("demo", "--folder", blocked, code=3)
    assert "--folder" in outcome.err
