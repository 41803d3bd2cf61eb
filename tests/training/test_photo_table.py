"""A table of one's own photos and tags, as spreadsheets write it, and its held-out part."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram_tagger.errors import RecipeError
from ram_tagger.training.photo_table import OwnPhoto, read_photo_table, split, tags_of


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "tags.csv"


def read(table: Path, text: str, coding: str = "utf-8") -> tuple[OwnPhoto, ...]:
    table.write_bytes(text.encode(coding))
    return read_photo_table(table)


# Reading


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig"])
def test_tables_as_spreadsheets_write_them(table, mark: str, end: str, coding: str):
    rows = [
        ("path", "tags", "caption"),
        ("trip/1.jpg", "cat|red sofa", "Mia at home"),
        ("trip/2.jpg", "Jörg", ""),
        ("3.jpg", "", "nothing much"),
    ]
    text = end.join(mark.join(row) for row in rows) + end
    assert read(table, text, coding) == (
        OwnPhoto("trip/1.jpg", ("cat", "red sofa"), "Mia at home"),
        OwnPhoto("trip/2.jpg", ("Jörg",), ""),
        OwnPhoto("3.jpg", (), "nothing much"),
    )


def test_columns_come_in_any_order_and_captions_may_be_left_out(table):
    assert read(table, "tags,path\ncat,a.jpg\n") == (OwnPhoto("a.jpg", ("cat",), ""),)
    found = read(table, " Caption , TAGS,Path\nhello,cat,a.jpg\n")
    assert found == (OwnPhoto("a.jpg", ("cat",), "hello"),)


def test_cells_in_quotes_hold_marks_quotes_and_lines(table):
    text = 'path,tags,caption\n"Mia, at home/1,2.jpg",cat,"She said ""miau"", then\nslept."\n'
    assert read(table, text) == (
        OwnPhoto("Mia, at home/1,2.jpg", ("cat",), 'She said "miau", then\nslept.'),
    )


def test_only_line_ends_end_a_line(table):
    (photo,) = read(table, "path,tags,caption\na.jpg,cat,one\u2028two\x0bthree\x85four\n")
    assert photo.caption == "one\u2028two\x0bthree\x85four"


def test_empty_lines_are_none(table):
    assert len(read(table, "path,tags\n\na.jpg,cat\n\n\nb.jpg,\n\n")) == 2


def test_spaces_around_tags_are_none_and_a_tag_is_named_once(table):
    (photo,) = read(table, "path,tags\n a.jpg , cat |red   sofa||cat| \n")
    assert photo == OwnPhoto("a.jpg", ("cat", "red sofa"), "")


def test_a_tag_is_the_same_in_upper_and_lower_case(table):
    photos = read(table, "path,tags\na.jpg,Cat|STRASSE\nb.jpg,cat|CAT\nc.jpg,dog|straße\n")
    assert [photo.tags for photo in photos] == [("Cat", "STRASSE"), ("Cat",), ("dog", "STRASSE")]
    assert tags_of(photos) == ("Cat", "STRASSE", "dog")


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
words = st.text(st.sampled_from("abz é猫-'1"), min_size=1).map(lambda t: " ".join(t.split()))


@settings(deadline=None)
@given(
    photos=st.lists(
        st.builds(
            OwnPhoto,
            cells.map(str.strip).filter(bool),
            st.lists(words.filter(bool), max_size=3, unique=True).map(tuple),
            cells.map(str.strip),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda photo: photo.path,
    ).filter(lambda photos: any(photo.tags for photo in photos)),
    mark=st.sampled_from(",;\t"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_is_written_is_read(photos: list[OwnPhoto], mark: str, quoting: int):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark, quoting=quoting)
    writer.writerow(["path", "tags", "caption"])
    writer.writerows([photo.path, "|".join(photo.tags), photo.caption] for photo in photos)
    with TemporaryDirectory() as folder:
        assert read(Path(folder, "tags.csv"), text.getvalue()) == tuple(photos)


# What is wrong is said, with the line.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must name the columns: path,tags and, if wished, caption"),
        ("a.jpg,cat\n", "the first line must name the columns"),
        ("path,caption\na.jpg,cat\n", "the first line must name the columns"),
        ("path,tags,mood\na.jpg,cat,good\n", "the first line must name the columns"),
        ("path,tags\na.jpg,cat\nb.jpg,cat,dog\n", "line 3 has another number of columns than"),
        ("path,tags,caption\na.jpg,cat\n", "line 2 has another number of columns than"),
        ("path,tags\na.jpg,cat\n,dog\n", "line 3 names no photo"),
        ("path,tags\na.jpg,cat\nb.jpg,\na.jpg,dog\n", "line 4: a.jpg stands in line 2 already"),
        ('path,tags\na.jpg,"cat, dog"\n', "line 2: a tag may have no comma, quote or control"),
        ('path,tags\na.jpg,"a ""cat"""\n', "line 2: a tag may have no comma, quote or control"),
        ("path,tags\na.jpg,ca\x07t\n", "line 2: a tag may have no comma, quote or control"),
        ("path,tags\na.jpg,\nb.jpg, | \n", "no photo has a tag: fill the column tags"),
        ("path,tags\n", "no photo has a tag"),
        (f'path,tags\na.jpg,"cat\n{"b.jpg,dog" * 20_000}', "is a quote missing?"),
    ],
)
def test_what_is_wrong_is_named(table, text: str, message: str):
    with pytest.raises(RecipeError) as refusal:
        read(table, text)
    assert str(refusal.value).startswith(f"{table}: ") and message in str(refusal.value)


def test_a_file_in_another_coding_is_named(table):
    with pytest.raises(RecipeError, match="is not UTF-8 text: save it as CSV in UTF-8"):
        read(table, "path,tags\nJörg.jpg,cat\n", "latin-1")
    with pytest.raises(RecipeError, match="is not UTF-8 text"):
        read(table, "path,tags\n", "utf-16")


def test_a_file_that_is_not_there_is_named(table):
    with pytest.raises(RecipeError, match=f"{table} cannot be read: No such file"):
        read_photo_table(table)


# Held out

tagged = st.lists(st.sampled_from("abcdef"), max_size=3, unique=True).map(tuple)
tables = st.lists(tagged, max_size=60).map(
    lambda rows: [OwnPhoto(f"{row}.jpg", tags, "") for row, tags in enumerate(rows)]
)
parts = st.just(0.0) | st.floats(0.001, 0.9)


def counts(photos: list[OwnPhoto]) -> Counter[str]:
    return Counter(tag for photo in photos for tag in photo.tags)


@given(photos=tables, held_out=parts)
def test_every_photo_is_in_one_part_in_the_order_of_the_table(
    photos: list[OwnPhoto], held_out: float
):
    training, measured = split(photos, held_out)
    assert sorted([*training, *measured], key=photos.index) == photos
    for part in (training, measured):
        assert part == sorted(part, key=photos.index)
    assert split(photos, held_out) == (training, measured)


@given(photos=tables, held_out=parts)
def test_every_tag_keeps_two_photos_to_train_on_and_no_more_than_asked_are_held_out(
    photos: list[OwnPhoto], held_out: float
):
    training, measured = split(photos, held_out)
    of_all, left, out = counts(photos), counts(training), counts(measured)
    for tag, count in of_all.items():
        assert left[tag] >= min(2, count)
        assert out[tag] <= round(count * held_out)


@given(rows=st.lists(st.sampled_from("abc"), min_size=1, max_size=80), held_out=parts)
def test_of_photos_with_one_tag_each_just_the_asked_part_is_held_out(
    rows: list[str], held_out: float
):
    photos = [OwnPhoto(f"{row}.jpg", (tag,), "") for row, tag in enumerate(rows)]
    out = counts(split(photos, held_out)[1])
    for tag, count in Counter(rows).items():
        assert out[tag] == min(round(count * held_out), max(0, count - 2))


@pytest.mark.parametrize(("held_out", "expected"), [(0.0, 0), (0.1, 10), (0.25, 25), (0.5, 50)])
def test_photos_without_a_tag_are_held_out_alike(held_out: float, expected: int):
    photos = [OwnPhoto(f"{row}.jpg", (), "") for row in range(100)]
    assert len(split(photos, held_out)[1]) == expected


def test_nothing_is_held_out_where_nothing_is_asked():
    photos = [OwnPhoto(f"{row}.jpg", ("cat",), "") for row in range(30)]
    assert split(photos, 0.0) == (photos, [])
