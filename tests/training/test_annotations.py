"""The published annotation files, read as they are, and kept small."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram_tagger.errors import RecipeError
from ram_tagger.training.annotations import BLOCK, Annotation, Annotations, read_annotations
from ram_tagger.training.captions import clean_caption

TAGS = 9
SHOWN = {
    "image_path": "coco/images/train2014/COCO_train2014_000000000009.jpg",
    "caption": ["A cat on a red sofa.", "Somebody's pet"],
    "union_label_id": [0, 3, 8],
    "parse_label_id": [[0, 3], []],
}
ids = st.lists(st.integers(0, TAGS - 1), max_size=4).map(tuple)
stated_captions = st.lists(st.tuples(st.text(max_size=30), ids), min_size=1, max_size=4)
annotation_lists = st.lists(
    st.builds(
        lambda path, said, tags: Annotation(
            path, tuple(text for text, _ in said), tags, tuple(stated for _, stated in said)
        ),
        st.text(max_size=20),
        stated_captions,
        ids,
    ),
    min_size=1,
    max_size=6,
)


def entry(annotation: Annotation) -> dict[str, Any]:
    """An annotation as published ones are written."""
    return {
        "image_path": annotation.path,
        "caption": list(annotation.captions),
        "union_label_id": list(annotation.tags),
        "parse_label_id": [list(rows) for rows in annotation.stated],
    }


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "coco_train.json"


def read(path: Path, *entries: Any) -> Annotations:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return read_annotations([path], TAGS)


def test_captions_and_tags_and_which_caption_speaks_of_which_tag(written):
    (annotation,) = read(written, SHOWN)
    assert annotation == Annotation(
        "coco/images/train2014/COCO_train2014_000000000009.jpg",
        ("A cat on a red sofa.", "Somebody's pet"),
        (0, 3, 8),
        ((0, 3), ()),
    )


def test_without_parsed_tags_no_caption_states_anything(written):
    (annotation,) = read(written, {k: v for k, v in SHOWN.items() if k != "parse_label_id"})
    assert annotation.stated == ((), ())
    assert annotation.tags == (0, 3, 8)


def test_entries_that_training_has_no_use_for_are_ignored(written):
    (annotation,) = read(written, {**SHOWN, "image_id": 9, "union_label": ["cat"], "text": None})
    assert annotation.tags == (0, 3, 8)


def test_several_files_are_one_after_the_other(tmp_path):
    paths = [tmp_path / f"{name}.json" for name in ("coco", "vg", "sbu")]
    for number, path in enumerate(paths):
        rows = [{**SHOWN, "image_path": f"{path.stem}/{row}.jpg"} for row in range(number)]
        path.write_text(json.dumps(rows), encoding="utf-8")
    found = [annotation.path for annotation in read_annotations(paths, TAGS)]
    assert found == ["vg/0.jpg", "sbu/0.jpg", "sbu/1.jpg"]


@settings(max_examples=60, deadline=None)
@given(
    annotations=annotation_lists,
    indent=st.sampled_from([None, 0, 1, "\t"]),
    separators=st.sampled_from([None, (",", ":"), (" ,\n", " :\r\n")]),
    ascii_only=st.booleans(),
    coding=st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_any_way_of_writing_the_same_json(
    annotations: list[Annotation],
    indent: int | str | None,
    separators: tuple[str, str] | None,
    ascii_only: bool,
    coding: str,
):
    text = json.dumps(
        list(map(entry, annotations)),
        indent=indent,
        separators=separators,
        ensure_ascii=ascii_only,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, "annotations.json")
        path.write_text(f"\n {text}\n", encoding=coding)
        assert list(read_annotations([path], TAGS)) == annotations


# Files are read a block at a time; where a block ends must not matter.


@pytest.mark.parametrize("shift", range(0, 160, 7))
def test_an_entry_may_lie_across_the_end_of_a_block(written, shift):
    first = {**SHOWN, "caption": ["x" * (BLOCK - 100 - shift)], "parse_label_id": [[1]]}
    second = {**SHOWN, "caption": ['caf\u00e9 "\U0001f408" \\', "two"], "union_label_id": [7]}
    found = read(written, first, second, SHOWN)
    said = [first["caption"], second["caption"], SHOWN["caption"]]
    assert [list(a.captions) for a in found] == said
    assert [a.tags for a in found] == [(0, 3, 8), (7,), (0, 3, 8)]


def test_an_entry_longer_than_a_block(written):
    captions = [f"{row} " * 6000 for row in range(120)]
    long = {**SHOWN, "caption": captions, "parse_label_id": [[row % TAGS] for row in range(120)]}
    assert written.write_text(json.dumps([long, SHOWN])) > 2 * BLOCK
    found = read_annotations([written], TAGS)
    assert list(found[0].captions) == captions
    assert found[0].stated == tuple((row % TAGS,) for row in range(120))
    assert found[1].captions == ("A cat on a red sofa.", "Somebody's pet")


# What is wrong is said, with the file and the entry.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"caption": []}, "no caption: give at least one"),
        ({"caption": "a cat"}, "expected a list, found 'a cat'"),
        ({"caption": None}, "expected a list, found None"),
        ({"caption": [7, "a"]}, "expected a text, found 7"),
        ({"image_path": None}, "expected a text, found None"),
        ({"image_path": ["a.jpg"]}, "expected a text"),
        ({"union_label_id": [0, TAGS]}, "names tag 9 of 9: the annotations are of another tag"),
        ({"union_label_id": [2, -1]}, "names tag -1 of 9"),
        ({"union_label_id": [2**70]}, "names tag 1180591620717411303424 of 9"),
        ({"union_label_id": 3}, "expected a list, found 3"),
        ({"union_label_id": "38"}, "expected a list, found '38'"),
        ({"union_label_id": ["3"]}, "expected the number of a tag, found '3'"),
        ({"union_label_id": [1.5]}, "expected the number of a tag, found 1.5"),
        ({"union_label_id": [True]}, "expected the number of a tag, found True"),
        ({"parse_label_id": [[0], [12]]}, "names tag 12 of 9"),
        ({"parse_label_id": [[0]]}, "2 captions, but parse_label_id has 1 lists"),
        ({"parse_label_id": [0, 3]}, "expected a list, found 0"),
    ],
)
def test_a_wrong_entry_is_named(written, wrong: dict[str, Any], message: str):
    with pytest.raises(RecipeError) as refusal:
        read(written, SHOWN, SHOWN, {**SHOWN, **wrong})
    assert str(refusal.value).startswith(f"{written}: entry 3: ")
    assert message in str(refusal.value)


@pytest.mark.parametrize("name", ["image_path", "caption", "union_label_id"])
def test_what_is_missing_is_named(written, name: str):
    with pytest.raises(RecipeError, match=f"entry 1: '{name}' is missing"):
        read(written, {key: value for key, value in SHOWN.items() if key != name})


@pytest.mark.parametrize("stranger", ["a.jpg", 7, None, [SHOWN]])
def test_an_entry_of_another_kind_is_named(written, stranger: Any):
    with pytest.raises(RecipeError, match="entry 2: expected an object with image_path, caption"):
        read(written, SHOWN, stranger)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a JSON list of annotations"),
        (json.dumps(SHOWN), "expected a JSON list of annotations"),
        ("tag list", "expected a JSON list of annotations"),
        ("[", "not whole JSON"),
        (json.dumps([SHOWN, SHOWN])[:-1], "not whole JSON"),
        (json.dumps([SHOWN, SHOWN])[:-9], "not whole JSON"),
        (json.dumps([SHOWN])[:40], "not whole JSON"),
        ('[{"image_path": nothing}]', "not whole JSON"),
        ("[" * 100_000, "not whole JSON"),
        (f'[{{"union_label_id": [{"9" * 5000}]}}]', "not whole JSON"),
        ("[]", "no picture in"),
        (" [ ] ", "no picture in"),
    ],
)
def test_a_file_that_is_no_whole_list_is_named(written, text: str, message: str):
    written.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as refusal:
        read_annotations([written], TAGS)
    assert str(written) in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    ["[]".encode("utf-16"), '[{"image_path": "caf\xe9"}]'.encode("latin-1")],
)
def test_a_file_that_is_not_utf_8_is_named(written, content: bytes):
    written.write_bytes(content)
    with pytest.raises(RecipeError, match=f"{written.name} cannot be read: .*utf-8"):
        read_annotations([written], TAGS)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(RecipeError, match=f"{path} cannot be read"):
            read_annotations([path], TAGS)


# In memory


@settings(max_examples=60, deadline=None)
@given(annotations=annotation_lists)
def test_what_is_kept_is_what_was_given(annotations: list[Annotation]):
    kept = Annotations(iter(annotations))
    assert len(kept) == len(annotations)
    assert list(kept) == annotations
    assert [kept[row - len(kept)] for row in range(len(kept))] == annotations
    assert list(kept.captions) == [text for a in annotations for text in a.captions]
    for row, annotation in enumerate(annotations):
        assert tuple(kept.captions[i] for i in kept.captions_of(row)) == annotation.captions


def test_a_text_that_utf_8_has_no_bytes_for_is_kept(written):
    (annotation,) = read(written, {**SHOWN, "caption": ["half a \ud83d cat", "b"]})
    assert annotation.captions == ("half a \ud83d cat", "b")


def test_there_is_nothing_beyond_the_last_annotation(written):
    annotations: Sequence[Annotation] = read(written, SHOWN, SHOWN)
    for row in (2, 7, -3):
        with pytest.raises(IndexError):
            annotations[row]


# Captions


@pytest.mark.parametrize(
    ("caption", "read_as"),
    [
        ("A Cat, on a sofa.", "a cat, on a sofa"),
        ('"Two" (old) dogs!  #1: here; ~50*', "two old dogs 1 here 50"),
        ("end.of.it", "end of it"),
        ("  tabs\tand\nlines ", "tabs and lines"),
        ("it's a well-known café/bar?", "it's a well-known café/bar?"),
        (".", ""),
        (" ".join(f"w{n}" for n in range(40)), " ".join(f"w{n}" for n in range(30))),
    ],
)
def test_captions_are_read_in_lower_case_with_few_marks_and_words(caption: str, read_as: str):
    assert clean_caption(caption) == read_as


@given(caption=st.text())
def test_a_clean_caption_stays_as_it_is(caption: str):
    clean = clean_caption(caption)
    assert len(clean.split()) <= 30
    assert not set(clean) & set('.!"()*#:;~\n\t')
    assert clean_caption(clean) == clean
