"""`photoindex export`: JSON lines and CSV of everything."""

from __future__ import annotations

import base64
import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_library import MODEL, Place, analysed

from photoindex.catalog.records import NewConcept, PhotoRecord, PhotoTag
from photoindex.exchange.export import ExportedPhoto, ExportedTag, photos
from photoindex.exchange.table import HEADINGS, rows
from photoindex.photo import PhotoFacts, Source
from photoindex.tagger import Concept, LabelEmbeddings


@pytest.fixture
def filled(place: Place) -> Place:
    place.put("a.jpg", {"cat": 0.9, "dog": 0.3}, by_user=("dog", "=1+1"))
    place.put("sub/b.jpg", {"dog": 0.8})
    place.put("sub/none.jpg")
    with place.catalog() as catalog:
        ids = catalog.analyses.photo_ids(MODEL)
        labels = LabelEmbeddings(
            ("grin",), np.ones((1, 8), np.float32) / np.sqrt(8).astype(np.float32), np.array([1])
        )
        probabilities = np.array([0.75, 0.25, 0.1], np.float32)
        concept = Concept("grin", ("a wide smile",), 0.5, "咧嘴")
        catalog.concepts.add([NewConcept(concept, labels, MODEL, ids, probabilities)])
    return place


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))


def test_the_first_lines_say_what_the_rest_belongs_to(filled: Place) -> None:
    library, folder, concept, *photos = filled.run("export").records
    assert library["record"] == "library"
    assert library["models"] == [{"name": "small", "model": MODEL, "active": True}]
    assert folder == {
        "record": "folder",
        "path": str(filled.folder),
        "path_bytes": None,
        "online": True,
    }
    assert concept["record"] == "concept"
    assert (concept["name"], concept["zh"], concept["matched"]) == ("grin", "咧嘴", 1)
    assert [photo["record"] for photo in photos] == ["photo"] * 3


def test_a_photo_stands_with_its_facts_and_every_figure(filled: Place) -> None:
    photo = filled.run("export").records[3]
    assert photo["path"] == str(filled.folder / "a.jpg")
    assert photo["taken_at"] == "2024-05-06T07:08:09"
    assert (photo["latitude"], photo["longitude"]) == (1.5, -2.5)
    tags = {(tag["name"], tag["source"]): tag for tag in photo["tags"]}
    assert set(tags) == {
        ("cat", "model"),
        ("dog", "model"),
        ("dog", "user"),
        ("=1+1", "user"),
        ("grin", "concept"),
    }
    assert tags["cat", "model"]["threshold"] == 0.6
    assert tags["cat", "model"]["model"] == MODEL
    assert tags["grin", "concept"]["probability"] == 0.75
    assert all(tag["shown"] for tag in tags.values())


def test_what_is_hidden_is_there_and_said_to_be(filled: Place) -> None:
    with filled.catalog() as catalog:
        photo = catalog.photos.at(filled.folder / "a.jpg")
        assert photo
        catalog.tags.untag([photo.id], "cat")
    tags = filled.run("export").records[3]["tags"]
    cat = {
        tag["source"]: (tag["probability"], tag["shown"]) for tag in tags if tag["name"] == "cat"
    }
    assert cat == {"user": (0.0, False), "model": (pytest.approx(0.9), False)}
    below = [tag for tag in filled.run("export").records[4]["tags"] if tag["name"] == "grin"]
    assert [tag["shown"] for tag in below] == [False]


def test_embeddings_are_exact(filled: Place) -> None:
    photos = [r for r in filled.run("export", "--embeddings").records if r["record"] == "photo"]
    with filled.catalog() as catalog:
        _, expected = catalog.analyses.embeddings_of(MODEL, catalog.analyses.photo_ids(MODEL))
    found = [
        np.frombuffer(base64.b64decode(photo["embedding"]["float32"]), "<f4") for photo in photos
    ]
    assert (np.array(found) == expected).all()
    assert {photo["embedding"]["model"] for photo in photos} == {MODEL}


def test_a_name_that_is_no_utf8_is_kept_exactly(place: Place) -> None:
    path = place.put(os.fsdecode(b"caf\xe9.jpg"))
    photo = place.run("export").records[-1]
    assert photo["path"].endswith("caf\\xe9.jpg")
    assert base64.b64decode(photo["path_bytes"]) == os.fsencode(path)
    assert table(place.run("export", "--format", "csv").out)[0]["path"].endswith("caf\\xe9.jpg")


def test_only_photos_in_a_folder(filled: Place) -> None:
    records = filled.run("export", filled.folder / "sub").records
    names = [Path(r["path"]).name for r in records if r["record"] == "photo"]
    assert names == ["b.jpg", "none.jpg"]


def test_the_table_has_a_row_a_photo_and_shown_tag(filled: Place) -> None:
    found = table(filled.run("export", "--format", "csv").out)
    shown = [(Path(row["path"]).name, row["tag"], row["source"]) for row in found]
    assert sorted(shown) == sorted(
        [
            ("a.jpg", "dog", "user"),
            ("a.jpg", "'=1+1", "user"),
            ("a.jpg", "cat", "model"),
            ("a.jpg", "grin", "concept"),
            ("b.jpg", "dog", "model"),
            ("none.jpg", "", ""),
        ]
    )
    cat = next(row for row in found if row["tag"] == "cat")
    assert (cat["zh"], cat["probability"], cat["threshold"]) == ("猫", "0.9000", "0.6000")
    assert cat["latitude"] == "1.5"


def test_no_cell_of_the_table_is_a_formula(filled: Place) -> None:
    for row in table(filled.run("export", "--format", "csv").out):
        assert row["camera"] == "'=Camera()"
        assert float(row["longitude"]) == -2.5


@given(name=st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_a_name_can_be_had_back_from_its_cell(name: str) -> None:
    facts = PhotoFacts("00", 1, 1, 1, "JPEG")
    tag = ExportedTag(PhotoTag(name, None, 1.0, None, Source.USER, None), True)
    (row,) = rows(ExportedPhoto(PhotoRecord(1, facts, ()), (tag,), None, None))
    cell = row[HEADINGS.index("tag")]
    assert cell[0] not in "=+-@\t\r"
    assert cell.removeprefix("'") == name


def test_a_spreadsheet_is_told_the_encoding(filled: Place, tmp_path: Path) -> None:
    filled.run("export", "--format", "csv", "-o", tmp_path / "t.csv")
    raw = (tmp_path / "t.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfpath,files,")
    assert "猫".encode() in raw


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_file_holds_what_standard_output_would(
    filled: Place, tmp_path: Path, format: str
) -> None:
    target = tmp_path / "out"
    document = filled.run("export", "--format", format, "-o", target, "--json").document
    assert document == {"file": {"path": str(target), "path_bytes": None}, "photos": 3}
    with target.open(encoding="utf-8", newline="") as file:
        written = file.read().splitlines()
    printed = filled.run("export", "--format", format).out.splitlines()
    assert written[1:] == printed[1:]


def test_a_file_is_replaced_only_when_told_to(filled: Place, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("mine")
    assert "--force" in filled.run("export", "-o", target, code=2).err
    assert target.read_text() == "mine"
    filled.run("export", "-o", target, "--force")
    assert target.read_text().startswith('{"record": "library"')


@pytest.mark.parametrize(
    "words",
    [
        ["--root", "x"],
        ["--naming", "lightroom"],
        ["--dry-run"],
        ["--format", "csv", "--embeddings"],
        ["--format", "csv", "--user-only"],
        ["--format", "xmp", "--output", "x"],
        ["--format", "xmp", "--embeddings"],
        ["--json"],
    ],
)
def test_options_that_mean_nothing_are_refused(filled: Place, words: list[str]) -> None:
    assert "does not go with" in filled.run("export", *words, code=2).err


@pytest.mark.parametrize("number", [0, 1, 499, 500, 501])
def test_any_number_of_photos_comes_out_once(place: Place, number: int) -> None:
    with place.catalog() as catalog:
        paths = [place.folder / f"{at}.jpg" for at in range(number)]
        catalog.analyses.record([analysed(path, {}) for path in paths], MODEL)
        assert [one.photo.files[0] for one in photos(catalog)] == paths
