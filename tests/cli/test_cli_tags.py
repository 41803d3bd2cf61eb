"""`photoindex tags`, `tag` and `untag`."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from typed import ODD_NAME, Command


def test_all_tags_with_their_photos(indexed: Command) -> None:
    heading, *rows = indexed("tags").lines
    assert heading.split() == ["photos", "tag", "中文"]
    counts = [int(row.split()[0]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert len(indexed("tags", "-n", "3").lines) == 4
    tags = indexed("tags", "--json").document["tags"]
    assert [tag["photos"] for tag in tags] == counts
    assert next(tag["zh"] for tag in tags if tag["name"] == "cat") == "猫"


def test_a_photos_tags_in_both_languages(indexed: Command, pictures: Path) -> None:
    photo = pictures / "holidays/beach-trip-03.jpg"
    table = indexed("tags", photo).lines
    (cat,) = [row.split() for row in table if row.startswith("cat ")]
    assert cat[1] == "猫" and cat[-1] == "model"
    document = indexed("tags", photo, "--json").document
    assert document["path"] == str(photo)
    probabilities = [tag["probability"] for tag in document["tags"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(tag["probability"] >= tag["threshold"] for tag in document["tags"])
    everything = indexed("tags", photo, "--all", "--json").document["tags"]
    assert len(everything) > len(probabilities)


def test_a_tag_of_ones_own_lasts(photoindex: Command, pictures: Path) -> None:
    photo, copy = pictures / "zoo/lions.jpg", pictures / "zoo/lions again.jpg"
    told = photoindex("tag", photo, "Grandma's favourite")
    assert told.err == "1 photo tagged Grandma's favourite\n"
    assert "Grandma's favourite" in photoindex("tags", copy).out
    photoindex("index", pictures)
    assert str(photo.parent) in photoindex("search", 'tag:"grandma\'s favourite"').out


def test_tagging_as_json(photoindex: Command, pictures: Path) -> None:
    photos = [pictures / "zoo/panda.webp", pictures / ODD_NAME]
    told = photoindex("tag", *photos, "bear  country", "--json").document
    assert told["tag"] == "bear country"
    assert told["photos"][0] == {"path": str(photos[0]), "path_bytes": None}
    assert base64.b64decode(told["photos"][1]["path_bytes"]) == os.fsencode(photos[1])
    assert photoindex("untag", *photos, "bear country", "--json").document == told


def test_several_photos_at_once_or_none(photoindex: Command, pictures: Path) -> None:
    photos = [pictures / "zoo/panda.webp", pictures / "zoo/peacock.png"]
    photoindex("tag", *photos, "spring")
    assert len(photoindex("search", "spring").lines) == 3
    missing = photoindex("tag", pictures / "zoo/zebra.jpg", "/no/photo.jpg", "summer", code=1)
    assert "no photo /no/photo.jpg" in missing.err
    photoindex("search", "tag:summer", code=2)


def test_a_tag_taken_off_stays_off(photoindex: Command, pictures: Path) -> None:
    photo = pictures / "home/cat-sofa.jpg"
    assert "cat " in photoindex("tags", photo).out
    photoindex("untag", photo, "cat")
    photoindex("index", pictures)
    assert not any(line.startswith("cat ") for line in photoindex("tags", photo).lines)
    assert "cat-sofa" not in photoindex("search", "cat").out
    photoindex("tag", photo, "cat")
    assert "cat-sofa" in photoindex("search", "cat").out


def test_what_is_not_there_is_exit_code_one(indexed: Command, pictures: Path) -> None:
    assert "no photo" in indexed("tags", "/no/photo.jpg", code=1).err
    assert "no tag" in indexed("untag", pictures / "zoo/panda.webp", "nonesuch", code=1).err


def test_a_tag_is_a_name(indexed: Command, pictures: Path) -> None:
    for name in (" ", "\x1b[31mred", "x" * 300):
        assert "printable" in indexed("tag", pictures / "zoo/panda.webp", name, code=2).err
    indexed("tag", pictures / "zoo/panda.webp", code=2)


def test_tags_of_an_unreadable_file_say_why(indexed: Command, pictures: Path) -> None:
    outcome = indexed("tags", pictures / "broken.jpg", code=1)
    assert "broken.jpg could not be read: " in outcome.err
    assert "index its folder" not in outcome.err
