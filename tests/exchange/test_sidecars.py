"""`photoindex export --format xmp`: tags into sidecars that other programs write, too."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from lxml import etree
from sidecars import DARKTABLE, DIGIKAM, FLAT, LIGHTROOM, subjects, trees
from small_library import MODEL, Place, analysed


def export(place: Place, *words: str | os.PathLike[str], code: int = 0) -> str:
    return place.run("export", "--format", "xmp", *words, code=code).err


Part = tuple[object, ...]


def parts(raw: bytes) -> list[Part]:
    """Everything in a document but white space: elements, remarks, instructions, in their order."""
    every = etree.fromstring(raw).xpath("//*|//comment()|//processing-instruction()")
    return [
        (node.tag, node.prefix, tuple(node.attrib.items()), (node.text or "").strip())
        if isinstance(node.tag, str)
        else (str(node),)
        for node in every
    ]


def is_within(some: list[Part], others: list[Part]) -> bool:
    """Whether some parts are among others, in the same order."""
    rest = iter(others)
    return all(part in rest for part in some)


def test_shown_tags_come_into_a_new_sidecar(place: Place) -> None:
    photo = place.put("a.jpg", {"cat": 0.9, "dog": 0.3}, by_user=("mine",))
    assert "1 sidecar made" in export(place)
    sidecar = place.folder / "a.jpg.xmp"
    assert subjects(sidecar) == ("mine", "cat")
    assert trees(sidecar) == (
        ("photoindex/mine", "photoindex/cat"),
        ("photoindex|mine", "photoindex|cat"),
    )
    assert photo.read_bytes() == b"a.jpg"


def test_a_photo_without_tags_gets_no_sidecar(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.1})
    export(place)
    assert list(place.folder.iterdir()) == [place.folder / "a.jpg"]


@pytest.mark.parametrize(
    ("words", "flat", "tree"),
    [
        (["--language", "zh"], ("plain", "猫"), "photoindex/猫"),
        (["--root", ""], ("cat", "plain"), "cat"),
        (["--root", "Auto|AI"], ("cat", "plain"), "Auto/AI/cat"),
        (["--root", "Auto/AI"], ("cat", "plain"), "Auto/AI/cat"),
    ],
)
def test_language_and_place_of_tags(
    place: Place, words: list[str], flat: tuple[str, ...], tree: str
) -> None:
    place.put("a.jpg", {"cat": 0.9, "plain": 0.8})
    export(place, *words)
    assert tuple(sorted(subjects(place.folder / "a.jpg.xmp"))) == flat
    assert tree in trees(place.folder / "a.jpg.xmp")[0]


def test_only_the_users_tags(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9}, by_user=("mine",))
    export(place, "--user-only")
    assert subjects(place.folder / "a.jpg.xmp") == ("mine",)


def test_a_second_export_changes_nothing(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9}, by_user=("<&>\"'|/",))
    export(place)
    sidecar = place.folder / "a.jpg.xmp"
    before = sidecar.read_bytes(), sidecar.stat()
    assert "1 as they should be" in export(place)
    assert (sidecar.read_bytes(), sidecar.stat()) == before


def test_tags_no_longer_shown_are_withdrawn(place: Place) -> None:
    photo = place.put("a.jpg", {"cat": 0.9, "roof": 0.9})
    export(place)
    place.run("untag", photo, "cat")
    export(place)
    sidecar = place.folder / "a.jpg.xmp"
    assert subjects(sidecar) == ("roof",)
    assert trees(sidecar) == (("photoindex/roof",), ("photoindex|roof",))
    place.run("untag", photo, "roof")
    export(place)
    assert subjects(sidecar) == ()
    assert "photoindex/" not in sidecar.read_text()


def test_another_root_moves_our_tags_and_no_others(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9})
    (place.folder / "a.jpg.xmp").write_text(DIGIKAM)
    export(place)
    export(place, "--root", "AI")
    assert trees(place.folder / "a.jpg.xmp")[0] == ("Places/Italy/Sardinia", "Bella", "AI/cat")


@pytest.mark.parametrize("before", [DIGIKAM, DARKTABLE, FLAT, LIGHTROOM.format(extension="JPG")])
def test_what_others_wrote_is_kept(place: Place, before: str) -> None:
    photo = place.put("a.jpg", {"cat": 0.9})
    sidecar = place.folder / "a.jpg.xmp"
    sidecar.write_text(before, encoding="utf-8")
    theirs = subjects(sidecar)
    export(place)
    assert subjects(sidecar) == (*theirs, "cat")
    assert is_within(parts(before.encode()), parts(sidecar.read_bytes()))
    place.run("untag", photo, "cat")
    export(place)
    assert subjects(sidecar) == theirs
    assert is_within(parts(before.encode()), parts(sidecar.read_bytes()))


def test_what_others_wrote_is_as_it_was_once_our_tags_are_gone(place: Place) -> None:
    photo = place.put("a.jpg", {"cat": 0.9})
    sidecar = place.folder / "a.jpg.xmp"
    sidecar.write_text(DIGIKAM)
    export(place)
    place.run("untag", photo, "cat")
    export(place)
    assert parts(sidecar.read_bytes()) == parts(DIGIKAM.encode())


def test_tags_that_others_have_are_not_written_twice_and_never_withdrawn(place: Place) -> None:
    photo = place.put("a.jpg", by_user=("Bella", "sardinia"))
    sidecar = place.folder / "a.jpg.xmp"
    sidecar.write_text(DIGIKAM)
    before = sidecar.read_bytes()
    assert "1 as they should be" in export(place)
    place.run("untag", photo, "Bella")
    export(place)
    assert sidecar.read_bytes() == before


def test_a_tree_of_our_own_holds_the_flat_tags_of_others_as_well(place: Place) -> None:
    """digiKam reads its own list where there is one, and looks at no other then."""
    photo = place.put("a.jpg", {"cat": 0.9})
    sidecar = place.folder / "a.jpg.xmp"
    sidecar.write_text(FLAT, encoding="utf-8")
    export(place)
    assert trees(sidecar)[0] == ("holiday", "photoindex/cat")
    place.run("untag", photo, "cat")
    export(place)
    assert trees(sidecar)[0] == ("holiday",)


def test_a_tree_of_lightrooms_is_found_in_digikams_list(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9})
    sidecar = place.folder / "a.xmp"
    sidecar.write_text(LIGHTROOM.format(extension="JPG"))
    export(place)
    assert trees(sidecar)[0] == ("Places/Italy/Sardinia", "photoindex/cat")


def test_a_tag_that_somebody_took_out_of_a_sidecar_stays_out(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9, "roof": 0.9})
    export(place)
    sidecar = place.folder / "a.jpg.xmp"
    lines = sidecar.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if "<dc:subject" in line)
    taken = next(n for n in range(at, len(lines)) if "<rdf:li>cat<" in lines[n])
    sidecar.write_text("".join(lines[:taken] + lines[taken + 1 :]))
    for _ in range(3):
        export(place)
        assert subjects(sidecar) == ("roof",)
        assert trees(sidecar)[0] == ("photoindex/roof",)


@pytest.mark.parametrize(
    ("there", "words", "used"),
    [
        ([], [], "a.jpg.xmp"),
        ([], ["--naming", "digikam"], "a.jpg.xmp"),
        ([], ["--naming", "lightroom"], "a.xmp"),
        (["a.xmp"], [], "a.xmp"),
        (["a.XMP"], [], "a.XMP"),
        (["a.jpg.xmp"], ["--naming", "lightroom"], "a.jpg.xmp"),
        (["a.jpg.xmp", "a.xmp"], ["--naming", "digikam"], "a.jpg.xmp"),
        (["a.jpg.xmp", "a.xmp"], ["--naming", "lightroom"], "a.xmp"),
        (["a.png"], ["--naming", "lightroom"], "a.jpg.xmp"),  # a.xmp would be both pictures'
        (["a.png", "a.xmp"], [], "a.jpg.xmp"),
        (["a.cr2"], ["--naming", "lightroom"], "a.xmp"),  # a raw file and its picture are one
    ],
)
def test_names_of_sidecars(place: Place, there: list[str], words: list[str], used: str) -> None:
    place.put("a.jpg", {"cat": 0.9})
    for name in there:
        is_sidecar = name.lower().endswith(".xmp")
        (place.folder / name).write_text(FLAT if is_sidecar else "", encoding="utf-8")
    export(place, *words)
    sidecars = [path for path in place.folder.iterdir() if path.suffix.lower() == ".xmp"]
    assert [path.name for path in sidecars if "cat" in subjects(path)] == [used]


def test_a_sidecar_of_a_raw_file_alone_is_not_the_pictures(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9})
    raw = place.folder / "a.xmp"
    raw.write_text(LIGHTROOM.format(extension="CR2"))
    export(place, "--naming", "lightroom")
    assert raw.read_text() == LIGHTROOM.format(extension="CR2")
    assert subjects(place.folder / "a.jpg.xmp") == ("cat",)


def test_every_copy_that_is_there_gets_its_sidecar(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9}, content="same")
    place.put("sub/b.jpg", {"cat": 0.9}, content="same")
    gone = place.put("c.jpg", {"cat": 0.9}, content="same")
    gone.unlink()
    export(place)
    found = sorted(path.name for path in place.folder.rglob("*.xmp"))
    assert found == ["a.jpg.xmp", "b.jpg.xmp"]


def test_only_photos_in_a_folder(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9}, content="same")
    place.put("sub/b.jpg", {"cat": 0.9}, content="same")
    export(place, place.folder / "sub")
    assert [path.name for path in place.folder.rglob("*.xmp")] == ["b.jpg.xmp"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(place: Place) -> None:
    photo = place.put("a.jpg", {"cat": 0.9, "roof": 0.9})
    outcome = place.run("export", "--format", "xmp", "--dry-run")
    assert outcome.out == f"{photo}.xmp: +cat, +roof\n"
    assert "1 sidecar would be made" in outcome.err
    assert list(place.folder.iterdir()) == [place.folder / "a.jpg"]
    export(place)
    place.run("untag", photo, "cat")
    (change,) = place.run("export", "--format", "xmp", "--dry-run", "--json").document["changes"]
    assert (change["added"], change["withdrawn"], change["new"]) == ([], ["cat"], False)


def test_figures_for_programs(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9})
    place.put("b.jpg", {"cat": 0.9})
    (place.folder / "a.jpg.xmp").write_text("<x")
    document = place.run("export", "--format", "xmp", "--json", code=3).document
    assert (document["files"], document["created"], document["changed"]) == (2, 1, 0)
    (failure,) = document["failures"]
    assert failure["path"] == str(place.folder / "a.jpg.xmp")
    assert failure["reason"].startswith("it is no XML")


def test_permissions_are_kept_or_those_of_the_photo(place: Place) -> None:
    for name in ("a.jpg", "b.jpg"):
        place.put(name, {"cat": 0.9}).chmod(0o640)
    there = place.folder / "b.jpg.xmp"
    there.write_text(FLAT, encoding="utf-8")
    there.chmod(0o604)
    export(place)
    modes = [stat.S_IMODE((place.folder / name).stat().st_mode) for name in ("a.jpg.xmp", there)]
    assert modes == [0o640, 0o604]
    assert not [path for path in place.folder.iterdir() if path.name.startswith(".")]


UNUSABLE = {
    "cut": DIGIKAM[:700],
    "empty": "",
    "no XMP": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "no list": FLAT.replace("<rdf:Bag>", "").replace("</rdf:Bag>", "").replace(
        "<rdf:li>holiday</rdf:li>", "holiday"
    ),
    "no encoding": '<?xml version="1.0" encoding="x-none"?><a/>',
}  # fmt: skip


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_sidecar_that_cannot_be_understood_is_left_alone_and_named(
    place: Place, what: str
) -> None:
    place.put("a.jpg", {"cat": 0.9})
    sidecar = place.folder / "a.jpg.xmp"
    sidecar.write_text(UNUSABLE[what], encoding="utf-8")
    before = sidecar.read_bytes()
    assert f"{sidecar}: left alone: " in export(place, code=3)
    assert sidecar.read_bytes() == before


def test_links_are_not_followed(place: Place, tmp_path: Path) -> None:
    place.put("a.jpg", {"cat": 0.9})
    target = tmp_path / "elsewhere.xmp"
    target.write_text(FLAT, encoding="utf-8")
    (place.folder / "a.jpg.xmp").symlink_to(target)
    assert "it is a link" in export(place, code=3)
    assert target.read_text(encoding="utf-8") == FLAT
    assert (place.folder / "a.jpg.xmp").is_symlink()


def test_a_pipe_holds_nobody_up(place: Place) -> None:
    place.put("a.jpg", {"cat": 0.9})
    os.mkfifo(place.folder / "a.jpg.xmp")
    assert "it is no file" in export(place, code=3)


def test_characters_that_xml_cannot_hold_are_left_out(place: Place) -> None:
    path = place.put("a.jpg")
    with place.catalog() as catalog:
        (photo,) = catalog.analyses.record([analysed(path, {})], MODEL)
        for name in ("bell\x07 tone\ufffe", "\x01\x02"):
            catalog.tags.tag([photo], name)
    export(place)
    assert subjects(place.folder / "a.jpg.xmp") == ("bell tone",)
