"""Names, sizes and times as people read them, tables and JSON included."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from photoindex.analysis.tally import Tally
from photoindex.cli import documents
from photoindex.cli.outcome import summary
from photoindex.terminal.json_output import print_json
from photoindex.terminal.tables import Column, print_table
from photoindex.terminal.wording import count, duration, shown, size


@pytest.mark.parametrize(
    ("name", "visible"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("猫 ü.jpg", "猫 ü.jpg"),
        ("two\nlines\t.jpg", "two\\nlines\\t.jpg"),
        ("red \x1b[31m.jpg", "red \\x1b[31m.jpg"),
        ("c1 \x9b2J.jpg", "c1 \\x9b2J.jpg"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
    ],
)
def test_a_name_steers_no_terminal(name: str, visible: str) -> None:
    assert shown(name) == visible


@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_whatever_is_shown_is_one_printable_line(name: str) -> None:
    assert shown(name).isprintable()


def test_figures_in_words() -> None:
    assert [count(0, "photo"), count(1, "photo"), count(1204, "photo")] == [
        "0 photos",
        "1 photo",
        "1,204 photos",
    ]
    assert [size(0), size(74_000), size(3_010_210_801)] == ["0 bytes", "74 kB", "3.0 GB"]
    assert [duration(8.4), duration(200), duration(1200), duration(7500)] == [
        "8 s",
        "3 min 20 s",
        "20 min",
        "2 h 5 min",
    ]


def test_columns_are_aligned_in_terminal_cells(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("cat", "猫", "0.93"), ("birthday cake", "生日蛋糕", "0.5"), ("a\nb", "", "12")]
    print_table([Column("tag"), Column("中文"), Column("probability", right=True)], rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert len({cell_len(line) for line in lines}) == 1
    assert all(line == line.rstrip() for line in lines)
    assert "a\\nb" in lines[3]


def test_rows_are_neither_cut_nor_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/pictures/" + "long " * 60 + "name.jpg"
    print_table([Column("photo"), Column("tags")], [(path, "[red]cat[/red] :smile: 0.9")])
    out = capsys.readouterr().out
    assert f"{path}  [red]cat[/red] :smile: 0.9\n" in out
    assert "\x1b" not in out


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_path_of_any_bytes_survives_json(name: bytes) -> None:
    document = json.loads(json.dumps(documents.path(Path(os.fsdecode(b"/p/" + name)))))
    if document["path_bytes"] is None:
        assert os.fsencode(Path(document["path"])) == os.fsencode(Path(os.fsdecode(b"/p/" + name)))
    else:
        assert document["path"].isprintable()
        exact = base64.b64decode(document["path_bytes"])
        assert Path(os.fsdecode(exact)) == Path(os.fsdecode(b"/p/" + name))


def test_json_text_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"path": "a\x1b[2J\x9b\u202e\n猫"}
    print_json(odd)
    out = capsys.readouterr().out
    assert json.loads(out) == odd
    assert "猫" in out
    assert all(character.isprintable() for line in out.splitlines() for character in line)


def test_a_run_is_summed_up_by_what_happened() -> None:
    assert summary(Tally()) == "0 photos analysed"
    assert summary(Tally(moved=8)) == "8 moved"
    assert summary(Tally(back=9) + Tally(offline=9)) == "9 back, 9 offline"
    assert summary(Tally(analysed=1, linked=1)) == "1 photo analysed, 1 file of known photos"
