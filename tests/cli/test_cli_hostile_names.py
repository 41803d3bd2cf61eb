"""Names that are up to no good are kept exactly, and shown so that nothing happens."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typed import Command, Outcome

NAMES = [
    b"two\nlines\t.jpg",
    b"title \x1b]0;owned\x07 red \x1b[31m.jpg",
    b"erase \xc2\x9b2J.jpg",  # the one-byte form of an escape sequence, in UTF-8
    b"no utf-8 \xff\x9b2J.jpg",
    "seen as png \u202egpj.jpg".encode(),
    b"<script>alert(1)</script>.jpg".replace(b"/", b"\xe2\x88\x95"),
    b"<img src=x onerror=alert(1)> &amp; &lt;.jpg",
    b"'); DROP TABLE photos; --.jpg",
    b'" OR 1=1 --.jpg',
    b"$(touch owned) `touch owned`; touch owned & | x.jpg",
    b"=HYPERLINK(A1).jpg",
    b"+1-1@x.jpg",
    b"-rf.jpg",
    b"%s %n {0} {self} [red]x[ red] :smile:.jpg",
    b"a..jpg.jpg",
    b" space at both ends .jpg ",
]
CAMERAS = {  # as a file tells it, and what is kept of that
    b"cam\x1b[2J\nera": "cam [2J era",
    b"title \x1b]0;owned\x07": "title ]0;owned",
    b"erase \xc2\x9b2J": "erase 2J",
    b"one \x9b2J byte": "one 2J byte",
    b"\t two\r\n lines \x7f": "two lines",
    "turned \u202eredro".encode(): "turned redro",
    b"ended\0 here": "ended",
    "Kamera f\u00fcr \u96ea".encode(): "Kamera f\u00fcr \u96ea",
    b"<b>'); DROP TABLE photos; --": "<b>'); DROP TABLE photos; --",
    b"\x1b\n\x07\x7f": None,
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Command, Path]:
    """A library of photos with such names, in a folder with one, and as many damaged files."""
    top = tmp_path_factory.mktemp("hostile")
    folder = top / os.fsdecode(b"=folder \x1b[31m\n<b>'\xff")
    (folder / "damaged").mkdir(parents=True)
    exif = Image.Exif()
    for shade, name in enumerate(NAMES):
        picture = Image.new("RGB", (40, 40), (12 * shade, 90, 200))
        exif[272] = list(CAMERAS)[shade % len(CAMERAS)]  # Model
        picture.save(folder / os.fsdecode(name), format="JPEG", exif=exif)
        (folder / "damaged" / os.fsdecode(name)).write_bytes(b"\xff\xd8\xff\xe0" + name)
    command = Command(top / "library")
    told = command("index", folder, "--model", "sketch")
    assert f"{len(NAMES)} photos analysed" in told.err
    assert_harmless(told)
    return command, folder


def assert_harmless(outcome: Outcome) -> None:
    """Nothing in it steers a terminal: its lines are printable."""
    for text in (outcome.out, outcome.err):
        for line in text.split("\n"):
            assert line.isprintable(), line


def exact(document: dict[str, Any]) -> bytes:
    """The path that a JSON document means."""
    if document["path_bytes"] is not None:
        return base64.b64decode(document["path_bytes"])
    return os.fsencode(document["path"])


def expected(folder: Path) -> set[bytes]:
    return {os.fsencode(folder) + b"/" + name for name in NAMES}


def test_names_are_found_exactly(hostile: tuple[Command, Path]) -> None:
    command, folder = hostile
    found = command("search", "after:1990", "-n", "100", "-0").raw
    assert set(found.split(b"\0")[:-1]) == expected(folder)
    lines = command("search", "after:1990", "-n", "100", "--paths").raw
    assert set(lines.removesuffix(b"\n").split(b"\n")) == set(
        b"\n".join(expected(folder)).split(b"\n")
    )
    told = command("search", "after:1990", "-n", "100", "--json")
    assert_harmless(told)
    hits = told.document["hits"]
    assert {exact(hit) for hit in hits} == expected(folder)
    assert len(hits) == len(NAMES)


@pytest.mark.parametrize("words", [("--all",), ("--why", "--all"), ("--json", "--all")])
def test_results_steer_no_terminal(hostile: tuple[Command, Path], words: tuple[str, ...]) -> None:
    command, _ = hostile
    told = command("search", "a blue square", "-n", "100", *words)
    assert_harmless(told)
    assert "\\x1b[31m" in told.out or "\\u001b[31m" in told.out
    if not words[0].startswith("--json"):
        assert "<img src=x onerror=alert(1)> &amp; &lt;.jpg" in told.out
        assert "[red]x[ red] :smile:" in told.out


@pytest.mark.parametrize("name", NAMES)
def test_every_photo_can_be_named(hostile: tuple[Command, Path], name: bytes) -> None:
    command, folder = hostile
    path = folder / os.fsdecode(name)
    for told in (
        command("tags", path),
        command("tag", path, "seen"),
        command("untag", path, "seen"),
    ):
        assert_harmless(told)
    document = command("tags", path, "--json").document
    assert exact(document) == os.fsencode(path)
    missing = command("tags", path.with_name(path.name + "x"), code=1)
    assert_harmless(missing)


def test_failures_name_every_file_in_one_line(hostile: tuple[Command, Path]) -> None:
    command, folder = hostile
    told = command("failures")
    assert_harmless(told)
    assert len(told.lines) == 1 + len(NAMES)
    told = command("failures", "--json")
    assert_harmless(told)
    failures = {exact(failure) for failure in told.document["failures"]}
    assert failures == expected(folder / "damaged")


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("doctor", "--quick")])
def test_the_folder_is_shown_as_safely(
    hostile: tuple[Command, Path], words: tuple[str, ...]
) -> None:
    command, _ = hostile
    told = command(*words)
    assert_harmless(told)
    assert "[31m" in told.out


def test_no_cell_of_a_table_is_a_formula(hostile: tuple[Command, Path]) -> None:
    command, folder = hostile
    command("tag", folder / "-rf.jpg", "=1+1")
    table = command("export", "--format", "csv").raw.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(table, newline="")))
    assert all(len(row) == len(rows[0]) for row in rows)
    column = rows[0].index("tag")
    assert "'=1+1" in {row[column] for row in rows}
    begins = {cell[0] for row in rows[1:] for cell in row if cell and not _is_number(cell)}
    assert not begins & set("=+-@\t\r\n ")
    command("untag", folder / "-rf.jpg", "=1+1")


def _is_number(cell: str) -> bool:
    try:
        return bool(float(cell)) or True
    except ValueError:
        return False


def test_lines_of_an_export_are_as_many_as_records(hostile: tuple[Command, Path]) -> None:
    command, folder = hostile
    told = command("export")
    assert_harmless(told)
    records = [json.loads(line) for line in told.lines]
    photos = [record for record in records if record["record"] == "photo"]
    assert {exact(photo) for photo in photos} == expected(folder)


def test_what_a_camera_claims_to_be_is_kept_and_steers_no_terminal(
    hostile: tuple[Command, Path],
) -> None:
    """All that can be printed is left of it, in one line."""
    command, folder = hostile
    for name, camera in zip(NAMES, CAMERAS.values(), strict=False):
        told = command("tags", folder / os.fsdecode(name), "--json")
        assert_harmless(told)
        assert told.document["camera"] == camera


def test_nothing_of_a_name_was_carried_out(hostile: tuple[Command, Path]) -> None:
    command, folder = hostile
    assert command("status", "--json").document["photos"] == len(NAMES)
    for place in (Path.cwd(), folder, command.library, folder.parent):
        assert not (place / "owned").exists()


@pytest.mark.parametrize(
    "word", ["\x1b[31mred", "two\nlines", "'; DROP TABLE tags; --", "a\u202eb"]
)
def test_what_is_asked_is_repeated_safely(hostile: tuple[Command, Path], word: str) -> None:
    command, folder = hostile
    assert_harmless(command("search", f'tag:"{word}"', code=2))
    assert_harmless(command("concepts", "show", word, code=1))
    told = command("search", f'"{word}"', "--json", "--all", "-n", "1")
    assert_harmless(told)
    photo = folder / "-rf.jpg"
    if word.isprintable():
        assert_harmless(command("tag", photo, word))
        assert word in {tag["name"] for tag in command("tags", photo, "--json").document["tags"]}
        assert_harmless(command("untag", photo, word))
