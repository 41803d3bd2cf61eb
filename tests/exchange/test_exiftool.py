"""exiftool reads what photoindex wrote, and photoindex what exiftool wrote."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from PIL import Image
from sidecars import DARKTABLE, DIGIKAM, FLAT, LIGHTROOM, subjects
from small_library import Place

Exiftool = Callable[..., str]
NAMES = ("mine", "猫 and 狗", "<&>\"'", "a|b", "a/b", "naïve", "🐈")


def test_exiftool_reads_our_sidecars(place: Place, exiftool: Exiftool) -> None:
    place.put("a.jpg", {"cat": 0.9}, by_user=NAMES)
    place.run("export", "--format", "xmp")
    sidecar = place.folder / "a.jpg.xmp"
    (seen,) = json.loads(exiftool("-json", "-G1", "-struct", sidecar))
    assert set(seen["XMP-dc:Subject"]) == {*NAMES, "cat"}
    assert "photoindex|cat" in seen["XMP-lr:HierarchicalSubject"]
    assert "photoindex|a｜b" in seen["XMP-lr:HierarchicalSubject"]
    assert "photoindex/cat" in seen["XMP-digiKam:TagsList"]
    assert "photoindex/a／b" in seen["XMP-digiKam:TagsList"]
    assert exiftool("-validate", "-warning", "-a", "-s3", sidecar).strip() == "OK"


def test_we_read_what_exiftool_wrote(place: Place, exiftool: Exiftool) -> None:
    photo = place.put("a.jpg")
    sidecar = place.folder / "a.xmp"
    exiftool(
        *(f"-XMP-dc:Subject={name}" for name in ("holiday", "猫头鹰", "a & b <c>")),
        "-XMP-lr:HierarchicalSubject=Places|Italy",
        "-XMP-digiKam:TagsList=People/Bella",
        sidecar,
    )
    place.run("import-tags")
    expected = {"holiday", "猫头鹰", "a & b <c>", "Italy", "Bella"}
    assert place.tags(photo) == dict.fromkeys(expected, "imported")


@pytest.mark.parametrize("before", [DIGIKAM, DARKTABLE, FLAT, LIGHTROOM.format(extension="JPG")])
def test_exiftool_sees_all_that_was_there_before(
    place: Place, exiftool: Exiftool, before: str
) -> None:
    place.put("a.jpg", {"cat": 0.9})
    sidecar = place.folder / "a.jpg.xmp"
    sidecar.write_text(before, encoding="utf-8")

    def seen() -> dict[str, object]:
        (all_of_it,) = json.loads(exiftool("-json", "-G1", "-struct", "-XMP:all", sidecar))
        lists = ("Subject", "HierarchicalSubject", "TagsList", "SourceFile")
        return {key: value for key, value in all_of_it.items() if not key.endswith(lists)}

    earlier = seen()
    place.run("export", "--format", "xmp")
    assert {key: value for key, value in seen().items() if key in earlier} == earlier
    assert "cat" in subjects(sidecar)


def test_our_notes_survive_another_programs_writing(place: Place, exiftool: Exiftool) -> None:
    photo = place.put("a.jpg", {"cat": 0.9, "roof": 0.9})
    place.run("export", "--format", "xmp")
    sidecar = place.folder / "a.jpg.xmp"
    exiftool("-overwrite_original", "-XMP-dc:Subject+=holiday", "-XMP:Rating=5", sidecar)
    place.run("untag", photo, "cat")
    place.run("export", "--format", "xmp")
    assert set(subjects(sidecar)) == {"roof", "holiday"}
    (seen,) = json.loads(exiftool("-json", "-XMP:Rating", sidecar))
    assert seen["Rating"] == 5
    place.run("import-tags")
    assert place.tags(photo) == {"roof": "model", "holiday": "imported"}


def test_the_way_into_jpeg_files_that_the_documents_give(place: Place, exiftool: Exiftool) -> None:
    photo = place.put("a.jpg", {"cat": 0.9})
    Image.new("RGB", (8, 8)).save(photo)
    place.run("export", "--format", "xmp")
    exiftool(
        *("-overwrite_original", "-ext", "jpg", "-tagsFromFile", "%d%f.%e.xmp"),
        *("-XMP-dc:Subject", "-XMP-lr:HierarchicalSubject", "-XMP-digiKam:TagsList"),
        place.folder,
    )
    (seen,) = json.loads(exiftool("-json", "-XMP:all", photo))
    assert seen["Subject"] == ["cat"] or seen["Subject"] == "cat"
    assert "photoindex|cat" in seen["HierarchicalSubject"]
