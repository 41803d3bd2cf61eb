"""A library whose figures are rows, as revision 2 kept them, answers the same after the upgrade."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from small_model import MODEL, VOCABULARY, WIDTH, analysed

from photoindex.catalog import migrate
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.database import Database
from photoindex.catalog.records import PhotoFilter
from photoindex.catalog.tokens import pack_floats
from photoindex.photo import FileState, Source

OTHER = "other-1"
FIRST = 4090  # photos on both sides of a chunk's end
PHOTOS = range(FIRST, FIRST + 12)
ODD_NAME = os.fsdecode(b"/p/\xff.jpg")

MODELS = """
    INSERT INTO models (id, model_id, name, embedding_size, active, generation)
    VALUES (?, ?, ?, ?, ?, 1)"""
ANALYSIS = """
    INSERT INTO analyses (photo_id, model_id, embedding, analysed_at)
    VALUES (?, ?, ?, '2024-01-01 00:00:00.000000')"""
PHOTO = """
    INSERT INTO photos (id, hash, size, width, height, format, taken_at, added_at)
    VALUES (?, ?, 1, 2, 3, 'PNG', ?, '2024-01-01 00:00:00.000000')"""
FILE = """
    INSERT INTO files (path, photo_id, size, mtime_ns, inode, device, state, failure)
    VALUES (?, ?, 1, ?, -3, 4, ?, ?)"""
SAID = """
    INSERT INTO photo_tags (photo_id, tag_id, source, model_id, probability)
    VALUES (?, ?, ?, ?, ?)"""
TAGS = {"cat": 1, "dog": 2, "roof": 3, "rooftop": 4, "tabby": 5, "mine": 6}


@pytest.fixture
def upgraded(path: Path) -> Catalog:
    """Two models, a concept, people's words, and files in every state, written by revision 2."""
    database = Database(path)
    migrate.upgrade(database, "0002")
    with database.write() as connection:
        connection.executemany(
            MODELS, [(1, MODEL, "small", WIDTH, True), (2, OTHER, "other", WIDTH, False)]
        )
        connection.executemany("INSERT INTO tags (name, id) VALUES (?, ?)", TAGS.items())
        connection.executemany(
            "INSERT INTO vocabulary VALUES (?, ?, ?, 0)",
            [(model, TAGS[tag.name], tag.threshold) for model in (1, 2) for tag in VOCABULARY],
        )
        connection.execute(
            "INSERT INTO concepts (tag_id, threshold, descriptions, created_at)"
            " VALUES (5, 0.5, '[\"striped\"]', '2024-01-01 00:00:00.000000')"
        )
        embedding = pack_floats(np.full(WIDTH, WIDTH**-0.5, dtype=np.float32))
        connection.execute("INSERT INTO concept_embeddings VALUES (1, 1, ?, 1)", (embedding,))
        for photo in PHOTOS:
            day = f"2024-03-{photo - FIRST + 1:02} 00:00:00.000000"
            connection.execute(PHOTO, (photo, content(photo), None if photo % 2 else day))
            state = {FIRST: "deleted", FIRST + 1: "offline"}.get(photo, "present")
            connection.execute(FILE, (path_of(photo), photo, photo * 10**9, state, None))
            model = 2 if photo == PHOTOS[-1] else 1
            connection.execute(ANALYSIS, (photo, model, embedding))
            figures = [(1, "model", 0.7), (2, "model", 0.1)]
            if model == 1:
                figures.append((5, "concept", 0.25 + 0.5 * (photo % 2)))
            for tag_id, source, probability in figures:
                connection.execute(SAID, (photo, tag_id, source, model, probability))
        connection.execute(FILE, (os.fsencode(ODD_NAME), None, 0, "present", "truncated"))
        connection.execute(SAID, (FIRST + 2, 6, "imported", None, 1.0))
        connection.execute(SAID, (FIRST + 3, 1, "user", None, 0.0))
    database.close()
    return Catalog.open(path)


def content(photo: int) -> str:
    return f"photo {photo}"


def path_of(photo: int) -> bytes:
    return b"/p/%d.jpg" % photo


def select(catalog: Catalog, name: str) -> list[int]:
    (tag,) = catalog.tags.find(name)
    return catalog.photos.select(PhotoFilter(all_of=((tag.id,),))).tolist()


def test_photos_show_what_they_showed(upgraded: Catalog) -> None:
    live = list(PHOTOS[1:])
    assert upgraded.photos.select(PhotoFilter()).tolist() == live
    assert select(upgraded, "cat") == [photo for photo in live if photo != FIRST + 3]
    assert select(upgraded, "dog") == []
    assert select(upgraded, "tabby") == [photo for photo in live[:-1] if photo % 2]
    assert select(upgraded, "mine") == [FIRST + 2]
    assert {count.tag.name: count.photos for count in upgraded.tags.counts()} == {
        "cat": 10,
        "tabby": 5,
        "mine": 1,
    }
    said = upgraded.tags.of([FIRST + 5], everything=True)[FIRST + 5]
    assert {(tag.name, tag.source, tag.probability) for tag in said} == {
        ("cat", Source.MODEL, 0.7),
        ("dog", Source.MODEL, 0.1),
        ("tabby", Source.CONCEPT, 0.75),
    }


def test_analyses_and_times_are_known(upgraded: Catalog) -> None:
    assert upgraded.analyses.photo_ids(MODEL).tolist() == list(PHOTOS[:-1])
    assert upgraded.analyses.photo_ids(OTHER).tolist() == [PHOTOS[-1]]
    by_camera = [photo for photo in reversed(PHOTOS) if photo % 2 == 0]
    assert upgraded.photos.newest(by_camera).tolist() == by_camera
    assert upgraded.photos.newest(list(PHOTOS))[0] == by_camera[0]
    assert upgraded.analyses.awaiting_count(MODEL) == 1


def test_files_are_where_they_were(upgraded: Catalog) -> None:
    known = list(upgraded.files.known_under(Path("/p")))
    assert [row[0] for row in known] == [*map(path_of, PHOTOS), os.fsencode(ODD_NAME)]
    assert [row[5] for row in known[:3]] == ["deleted", "offline", "present"]
    assert known[0][3] == 2**64 - 3
    assert [file.path for file in upgraded.files.failures()] == [Path(ODD_NAME)]
    file = upgraded.files.at(Path(os.fsdecode(path_of(FIRST + 1))))
    assert file is not None and file.state is FileState.OFFLINE and file.photo_id == FIRST + 1


def test_life_goes_on(upgraded: Catalog) -> None:
    item = analysed(content(FIRST + 2), os.fsdecode(path_of(FIRST + 2)), tags={"dog": 0.9})
    assert upgraded.analyses.record([item], MODEL) == [FIRST + 2]
    assert [tag.name for tag in upgraded.tags.of([FIRST + 2])[FIRST + 2]] == ["mine", "dog"]
    assert select(upgraded, "dog") == [FIRST + 2] and FIRST + 2 not in select(upgraded, "cat")
    upgraded.files.mark_deleted([Path(os.fsdecode(path_of(FIRST + 2)))])
    assert select(upgraded, "dog") == []
    assert upgraded.concepts.remove("tabby") and upgraded.tags.find("tabby") == ()
