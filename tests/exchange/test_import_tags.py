"""`photoindex import-tags`: tags that other programs wrote into sidecars."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidecars import DARKTABLE, DIGIKAM, FLAT, LIGHTROOM
from small_library import Place

from photoindex.exchange.merging import merge
from photoindex.exchange.sidecar import MAX_BYTES, Sidecar, SidecarError
from photoindex.exchange.subjects import PROPERTIES, SUBJECT, clean
from photoindex.exchange.tag_import import tags_in

LIGHTROOM_JPG = LIGHTROOM.format(extension="JPG")


@pytest.mark.parametrize(
    ("sidecar", "leaves", "whole"),
    [
        (DIGIKAM, {"Sardinia", "Bella"}, {"Places/Italy/Sardinia", "Bella"}),
        # Lightroom repeats the components of a path as flat names.
        (LIGHTROOM_JPG, {"Places", "Italy", "Sardinia"}, {"Places/Italy/Sardinia"}),
        # darktable's notes to itself are no tags.
        (DARKTABLE, {"holiday"}, {"holiday"}),
        (FLAT, {"holiday"}, {"holiday"}),
    ],
    ids=["digikam", "lightroom", "darktable", "flat"],
)
def test_tags_come_into_the_library(
    place: Place, sidecar: str, leaves: set[str], whole: set[str]
) -> None:
    first, second = place.put("a.jpg"), place.put("b.jpg")
    (place.folder / "a.jpg.xmp").write_text(sidecar, encoding="utf-8")
    place.run("import-tags")
    assert place.tags(first) == dict.fromkeys(leaves, "imported")
    (place.folder / "a.jpg.xmp").rename(place.folder / "b.jpg.xmp")
    place.run("import-tags", "--whole-paths")
    assert place.tags(second) == dict.fromkeys(whole, "imported")


@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp", "a.jpg.XMP", "a.XMP"])
def test_both_customs_of_naming(place: Place, name: str) -> None:
    photo = place.put("a.jpg")
    (place.folder / name).write_text(FLAT, encoding="utf-8")
    place.run("import-tags")
    assert place.tags(photo) == {"holiday": "imported"}


def test_a_raw_files_sidecar_speaks_of_its_picture_as_well(place: Place) -> None:
    photo = place.put("a.jpg")
    (place.folder / "a.cr2").touch()
    (place.folder / "a.xmp").write_text(LIGHTROOM.format(extension="CR2"))
    place.run("import-tags")
    assert "Sardinia" in place.tags(photo)


def test_what_was_found_is_counted(place: Place) -> None:
    photo = place.put("a.jpg", {"cat": 0.9}, by_user=("Bella",))
    (place.folder / "a.jpg.xmp").write_text(DIGIKAM)
    lonely = place.folder / "sub" / "none.jpg.xmp"
    lonely.parent.mkdir()
    lonely.write_text(FLAT, encoding="utf-8")
    first = place.run("import-tags", "--json").document
    assert first == {
        "dry_run": False,
        "sidecars": 2,
        "photos": 1,
        "new": 1,
        "known": 1,
        "kept_off": 0,
        "unusable": 0,
        "unmatched": [{"path": str(lonely), "path_bytes": None}],
        "failures": [],
    }
    second = place.run("import-tags", "--json").document
    assert (second["new"], second["known"]) == (0, 2)
    place.run("untag", photo, "Sardinia")
    third = place.run("import-tags", "--json").document
    assert (third["new"], third["known"], third["kept_off"]) == (0, 1, 1)
    assert "Sardinia" not in place.tags(photo)


def test_a_dry_run_only_counts(place: Place) -> None:
    photo = place.put("a.jpg")
    (place.folder / "a.jpg.xmp").write_text(DIGIKAM)
    assert "2 tags would be new" in place.run("import-tags", "--dry-run").err
    assert place.tags(photo) == {}


def test_what_photoindex_wrote_is_passed_over(place: Place) -> None:
    photo = place.put("a.jpg", {"cat": 0.9})
    (place.folder / "a.jpg.xmp").write_text(DIGIKAM)
    place.run("export", "--format", "xmp")
    place.run("import-tags")
    assert place.tags(photo) == {"cat": "model", "Sardinia": "imported", "Bella": "imported"}


def test_names_that_the_library_knows_are_taken_for_what_they_mean(place: Place) -> None:
    photo = place.put("a.jpg")
    (place.folder / "a.jpg.xmp").write_text(
        FLAT.replace("<rdf:li>holiday</rdf:li>", "<rdf:li>狗</rdf:li><rdf:li>CAT</rdf:li>"),
        encoding="utf-8",
    )
    place.run("import-tags")
    assert place.tags(photo) == {"dog": "imported", "cat": "imported"}


def test_names_that_can_be_no_tag_are_counted(place: Place) -> None:
    photo = place.put("a.jpg")
    names = f"<rdf:li>{'x' * 201}</rdf:li><rdf:li>a\u202eb</rdf:li>"
    sidecar = FLAT.replace("<rdf:li>holiday</rdf:li>", names)
    (place.folder / "a.jpg.xmp").write_text(sidecar, encoding="utf-8")
    assert place.run("import-tags", "--json").document["unusable"] == 2
    assert place.tags(photo) == {}


def test_a_given_folder_is_looked_through(place: Place) -> None:
    first, second = place.put("a/a.jpg"), place.put("b/b.jpg")
    for photo in (first, second):
        photo.with_name(photo.name + ".xmp").write_text(FLAT, encoding="utf-8")
    place.run("import-tags", place.folder / "b")
    assert (place.tags(first), place.tags(second)) == ({}, {"holiday": "imported"})
    assert "no folder" in place.run("import-tags", place.folder / "none", code=2).err


def test_hidden_and_system_folders_are_left_out(place: Place) -> None:
    place.put("a.jpg")
    for folder in (".hidden", "@eaDir"):
        (place.folder / folder).mkdir()
        (place.folder / folder / "a.jpg.xmp").write_text(FLAT, encoding="utf-8")
    assert place.run("import-tags", "--json").document["sidecars"] == 0


def document_type(declarations: str, item: str) -> str:
    text = FLAT[FLAT.index("<x:") :].replace("holiday", item)
    return f"<!DOCTYPE x [{declarations}]>{text}"


LAUGHS = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">'
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
HOSTILE = {
    "entities that grow": document_type(LAUGHS, "&j;"),
    "a file": document_type('<!ENTITY x SYSTEM "{secret}">', "&x;"),
    "a parameter entity": document_type('<!ENTITY % x SYSTEM "{secret}"> %x;', "holiday"),
    "a type elsewhere": FLAT[FLAT.index("<x:") :].join(['<!DOCTYPE x SYSTEM "{secret}">', ""]),
    "depth": "<a>" * 100_000,
    "deep and closed": FLAT.replace("holiday", "<a>" * 5000 + "</a>" * 5000),
    "size": FLAT + " " * MAX_BYTES,
    "nothing": "",
    "bytes": "\x00\x01\x02",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_sidecars_are_refused_and_named(place: Place, what: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("<!ENTITY y 'a secret'>")
    hostile, good = place.put("a.jpg"), place.put("b.jpg")
    (place.folder / "a.jpg.xmp").write_text(
        HOSTILE[what].replace("{secret}", str(secret)), encoding="utf-8"
    )
    (place.folder / "b.jpg.xmp").write_text(FLAT, encoding="utf-8")
    document = place.run("import-tags", "--json", code=3).document
    assert [failure["path"] for failure in document["failures"]] == [f"{hostile}.xmp"]
    assert place.tags(hostile) == {}
    assert place.tags(good) == {"holiday": "imported"}


def test_links_and_pipes_are_refused(place: Place, tmp_path: Path) -> None:
    place.put("a.jpg")
    place.put("b.jpg")
    (tmp_path / "x").write_text(FLAT, encoding="utf-8")
    (place.folder / "a.jpg.xmp").symlink_to(tmp_path / "x")
    os.mkfifo(place.folder / "b.jpg.xmp")
    document = place.run("import-tags", "--json", code=3).document
    assert [failure["reason"] for failure in document["failures"]] == [
        "it is a link",
        "it is no file",
    ]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_sidecar_or_refused(raw: bytes) -> None:
    try:
        Sidecar.parse(raw)
    except SidecarError as error:
        assert str(error)


names = st.lists(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
    | st.sampled_from(["a|b", "a/b", "<&>", "\"'", "猫", "a｜b", "]]>", "&amp;", "photoindex"]),
    max_size=6,
)


@given(names=names, others=names, root=st.sampled_from([(), ("photoindex",), ("a", "b")]))
def test_any_names_are_written_noted_and_withdrawn(
    names: list[str], others: list[str], root: tuple[str, ...]
) -> None:
    sidecar = Sidecar.new()
    theirs = clean(others)
    sidecar.add(SUBJECT, theirs)
    merged = merge(sidecar, names, root)
    sidecar = Sidecar.parse(sidecar.to_bytes())
    assert sidecar.values(SUBJECT) == (*theirs, *merged.added)
    folded = {name.casefold() for name in sidecar.values(SUBJECT)}
    assert {name.casefold() for name in clean(names)} <= folded
    assert set(tags_in(sidecar)) == set(theirs)
    before = sidecar.to_bytes()
    assert merge(sidecar, names, root).added == ()
    assert sidecar.to_bytes() == before
    merge(sidecar, [], root)
    assert sidecar.values(SUBJECT) == theirs
    assert not any(sidecar.values(of.written()) for of in PROPERTIES)


@given(names=names)
def test_what_another_program_takes_over_is_read_as_it_was_written(names: list[str]) -> None:
    sidecar = Sidecar.new()
    merge(sidecar, names, ("photoindex",))
    for of in PROPERTIES:
        sidecar.remove(of.written(), sidecar.values(of.written()))
    written = sidecar.values(SUBJECT)
    assert set(written) <= set(tags_in(Sidecar.parse(sidecar.to_bytes())))
    assert set(tags_in(sidecar)) == set(written)
