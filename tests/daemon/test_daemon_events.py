"""What the watcher makes of things that happen in a folder while it runs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from watching import PICTURES, Daemon, Place, put, until

Watched = tuple[Place, Daemon]


def test_a_new_photo_is_tagged(watched: Watched) -> None:
    place, daemon = watched
    photo = put("home/cat-sofa.jpg", place.folder / "new/cat.jpg")
    place.knows(photo)
    assert "cat" in (place.tags(photo) or ())
    daemon.says("1 photo analysed")


def test_a_changed_photo_is_tagged_anew(watched: Watched) -> None:
    place, _ = watched
    photo = put("farm/tractor.jpg", place.folder / "changed/picture.jpg")
    place.knows(photo)
    before = place.tags(photo)
    put("holidays/sailing.jpg", photo)
    until(lambda: place.tags(photo) not in (None, before), "the new content is not tagged")
    assert "sea" in (place.tags(photo) or ())


def test_a_renamed_photo_keeps_what_is_known(watched: Watched) -> None:
    place, _ = watched
    old = put("zoo/panda.webp", place.folder / "moved/panda.webp")
    place.knows(old)
    assert place.run("tag", old, "favourite").returncode == 0
    analysed = place.status()["photos"]
    new = place.folder / "moved elsewhere" / "bamboo.webp"
    new.parent.mkdir()
    old.rename(new)
    place.knows(new)
    place.forgets(old)
    assert "favourite" in (place.tags(new) or ())
    assert place.status()["photos"] == analysed


def test_a_renamed_folder_keeps_what_is_known(watched: Watched) -> None:
    place, _ = watched
    old = place.folder / "trip"
    names = [put(f"farm/{name}", old / name).name for name in ("animals.jpg", "harvest.png")]
    for name in names:
        place.knows(old / name)
        assert place.run("tag", old / name, "our trip").returncode == 0
    new = old.rename(place.folder / "trip 2024")
    for name in names:
        place.knows(new / name)
        place.forgets(old / name)
        assert "our trip" in (place.tags(new / name) or ())


def test_a_deleted_photo_is_no_longer_found(watched: Watched) -> None:
    place, daemon = watched
    photo = put("zoo/peacock.png", place.folder / "deleted/peacock.png")
    place.knows(photo)
    photo.unlink()
    place.forgets(photo)
    assert str(photo) not in place.run("search", f"in:{place.folder}", "-n", "100").stdout
    daemon.says("1 gone")


def test_a_file_still_being_written_is_waited_for(watched: Watched) -> None:
    place, daemon = watched
    content = (PICTURES / "city/concert.jpg").read_bytes()
    photo = place.folder / "slow/concert.jpg"
    photo.parent.mkdir()
    with photo.open("wb", buffering=0) as file:
        for start in range(0, len(content), len(content) // 15):
            file.write(content[start : start + len(content) // 15])
            time.sleep(0.1)  # the writer's pace: well over the settling time in all
    place.knows(photo)
    assert photo.name not in place.failures()
    assert not any("unreadable" in line for line in daemon.lines if "concert" in line)


def test_a_new_folder_with_files_in_it_is_seen_whole(watched: Watched, tmp_path: Path) -> None:
    place, _ = watched
    prepared = tmp_path / "import"
    shutil.copytree(PICTURES / "winter", prepared / "a" / "deep one")
    put("city/taxi.jpg", prepared / "taxi.jpg")
    shutil.copytree(prepared, place.folder / "imported")
    for file in ("taxi.jpg", "a/deep one/rabbit.jpg", "a/deep one/snowman.jpg"):
        place.knows(place.folder / "imported" / file)
    later = put("city/bicycle.webp", place.folder / "imported/a/deep one/later.webp")
    place.knows(later)


def test_excluded_and_hidden_folders_are_left_alone(watched: Watched) -> None:
    place, _ = watched
    unseen = [
        put("home/desk.png", place.folder / hidden / "desk.png")
        for hidden in ("private", "x/private", ".thumbnails", "@eaDir")
    ]
    place.knows(put("home/dog.jpg", place.folder / "x/seen.jpg"))
    assert [place.tags(photo) for photo in unseen] == [None] * 4


def test_a_broken_picture_is_listed_and_tried_again_when_it_changes(watched: Watched) -> None:
    place, daemon = watched
    photo = place.folder / "broken/breakfast.jpg"
    photo.parent.mkdir()
    photo.write_bytes((PICTURES / "home/breakfast.jpg").read_bytes()[:700])
    until(lambda: photo.name in place.failures(), "the failure is not listed")
    daemon.says("1 unreadable")
    put("home/breakfast.jpg", photo)
    place.knows(photo)
    assert photo.name not in place.failures()


def test_a_copy_is_not_analysed_again(watched: Watched) -> None:
    place, daemon = watched
    first = put("home/doughnut.png", place.folder / "copies/one.png")
    place.knows(first)
    photos = place.status()["photos"]
    second = put("home/doughnut.png", place.folder / "copies/two.png")
    place.knows(second)
    assert place.status()["photos"] == photos
    daemon.says("1 file of known photos")


def test_others_can_search_and_tag_meanwhile(watched: Watched) -> None:
    place, _ = watched
    photos = [
        put(f"zoo/{name}", place.folder / "busy" / name)
        for name in ("lions.jpg", "penguins.jpg", "zebra.jpg")
    ]
    place.knows(photos[0])
    assert place.run("tag", photos[0], "while watched").returncode == 0
    assert str(photos[0]) in place.run("search", 'tag:"while watched"', "--paths").stdout
    for photo in photos:
        place.knows(photo)


def test_a_concept_added_meanwhile_is_met_by_new_photos(watched: Watched) -> None:
    place, _ = watched
    assert place.run("add-concept", PICTURES.parent / "concepts.json").returncode == 0
    photo = put("zoo/zebra-and-giraffe.jpg", place.folder / "later/zebra-and-giraffe.jpg")
    place.knows(photo)
    until(lambda: "zebra" in (place.tags(photo) or ()), "the new concept is not seen")
