"""`photoindex demo`, as `make demo` runs it on a fresh machine."""

from __future__ import annotations

from pathlib import Path

from typed import BUNDLED, Command

PICTURES = sum(path.is_file() for path in (BUNDLED / "pictures").rglob("*"))


def test_the_demo_shows_the_main_job(empty: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my demo"
    out = empty.spawn("demo", "--folder", folder).out
    assert f"{PICTURES} photos analysed" in out
    assert "as tag: cat" in out and "beach-trip-03.jpg" in out
    assert "search '狗'" in out and "home/dog.jpg" in out
    assert "as a concept: birthday party with a cake" in out
    assert f"of {PICTURES} photos match" in out
    assert "zoo/zebra.jpg" in out.partition("add-concept")[2]
    assert f"photoindex --library '{folder}/library'" in out  # as the shell takes it
    assert "RAM++" in out
    again = empty.spawn("demo", "--folder", folder).out
    assert "0 photos analysed" in again


def test_a_folder_that_cannot_be_written(empty: Command, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    outcome = empty("demo", "--folder", blocked, code=3)
    assert "--folder" in outcome.err
