"""A library that any earlier version made opens, keeps what is in it, and answers the same."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_model import MODEL, WIDTH, analysed

from photoindex.catalog import migrate
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import PhotoFilter
from photoindex.photo import FileState, Source

OTHER = "other-1"
FIRST = 4090  # photos on both sides of a chunk's end
PHOTOS = range(FIRST, FIRST + 12)
ODD_NAME = os.fsdecode(b"/p/\xff.jpg")

EARLIER = Path(__file__).parent / "libraries"  # one a revision, as SQL
REVISIONS = sorted(file.stem for file in EARLIER.glob("*.sql"))


@pytest.fixture(params=REVISIONS)
def upgraded(path: Path, request: pytest.FixtureRequest) -> Iterator[Catalog]:
    """A library that an earlier version left, opened by this one."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.executescript((EARLIER / f"{request.param}.sql").read_text(encoding="utf-8"))
    with Catalog.open(path) as catalog:
        yield catalog


def content(photo: int) -> str:
    return f"photo {photo}"


def path_of(photo: int) -> bytes:
    return b"/p/%d.jpg" % photo


def select(catalog: Catalog, name: str) -> list[int]:
    (tag,) = catalog.tags.find(name)
    return catalog.photos.select(PhotoFilter(all_of=((tag.id,),))).tolist()


def test_a_library_of_every_earlier_revision_is_kept_here() -> None:
    scripts = migrate.scripts_folder().glob("versions/*.py")
    revisions = sorted(script.name.partition("_")[0] for script in scripts)
    assert [*REVISIONS, migrate.REVISION] == revisions


def test_photos_show_what_they_showed(upgraded: Catalog) -> None:
    live = list(PHOTOS[1:])
    assert upgraded.photos.select(PhotoFilter()).tolist() == live
    assert select(upgraded, "cat") == [photo for photo in live if photo != FIRST + 3]
    assert select(upgraded, "dog") == []
    assert select(upgraded, "tabby") == [photo for photo in live[:-1] if photo % 2]
    assert select(upgraded, "mine") == [FIRST + 2, FIRST + 4]
    assert {count.tag.name: count.photos for count in upgraded.tags.counts()} == {
        "cat": 10,
        "tabby": 5,
        "mine": 2,
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


def test_embeddings_and_tokens_are_what_they_were(upgraded: Catalog) -> None:
    (block,) = upgraded.analyses.embeddings(MODEL)
    assert block.ids.tolist() == list(PHOTOS[:-1])
    assert block.embeddings.tolist() == np.eye(WIDTH)[np.arange(len(block.ids)) % WIDTH].tolist()
    ((ids, stored),) = upgraded.analyses.stored(MODEL)
    assert stored.tokens is not None
    assert stored.tokens.scales.tolist() == [[0.5, 1.0, 2.0]] * len(ids)
    expected = np.broadcast_to((ids - FIRST + 1)[:, None, None], stored.tokens.values.shape)
    assert (stored.tokens.values == expected).all()
    (of_other,) = upgraded.analyses.embeddings(OTHER)
    assert of_other.ids.tolist() == [PHOTOS[-1]]


def test_peoples_tags_and_concepts_are_kept(upgraded: Catalog) -> None:
    own = {
        photo: {(tag.name, tag.source) for tag in tags if tag.source is not Source.MODEL}
        for photo, tags in upgraded.tags.of(list(PHOTOS[2:5])).items()
    }
    assert ("mine", Source.IMPORTED) in own[FIRST + 2]
    assert ("mine", Source.USER) in own[FIRST + 4]
    assert "cat" not in {tag.name for tag in upgraded.tags.of([FIRST + 3])[FIRST + 3]}
    (concept,) = upgraded.concepts.all()
    assert (concept.concept.name, concept.concept.descriptions) == ("tabby", ("striped",))
    assert (concept.concept.threshold, concept.matched, concept.scored) == (0.5, 5, 11)
    assert len(upgraded.concepts.embeddings(MODEL).ids) == 1


def test_models_folders_and_settings_are_kept(upgraded: Catalog) -> None:
    models = {model.model_id: (model.active, model.analyses) for model in upgraded.models.all()}
    assert models == {MODEL: (True, len(PHOTOS) - 1), OTHER: (False, 1)}
    assert upgraded.models.usual_threshold(MODEL) == pytest.approx(0.65)
    (folder,) = upgraded.folders.all()
    assert (folder.path, folder.online) == (Path("/p"), True)
    assert upgraded.setting("model") == "small"
    (cat,) = upgraded.tags.find("猫")
    assert cat.name == "cat"


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
