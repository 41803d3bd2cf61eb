"""Which tags a photo shows, whose word counts, and which photos meet a filter."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from small_model import MODEL, VOCABULARY, WIDTH, analysed

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import PhotoFilter
from photoindex.errors import NothingFound, UsageError
from photoindex.photo import Source
from photoindex.tagger import TagName

OTHER = "other-1"


def tag_id(catalog: Catalog, name: str) -> int:
    (tag,) = catalog.tags.find(name)
    return tag.id


def shown(catalog: Catalog, photo_id: int) -> list[str]:
    return [tag.name for tag in catalog.tags.of([photo_id])[photo_id]]


def select(catalog: Catalog, *names: str, **rest: object) -> list[int]:
    wanted = PhotoFilter(all_of=tuple((tag_id(catalog, name),) for name in names), **rest)  # type: ignore[arg-type]
    return catalog.photos.select(wanted).tolist()


def test_a_tag_is_shown_from_its_threshold_on(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record(
        [analysed("one", "/1", tags={"cat": 0.9, "dog": 0.59, "roof": 0.7})], MODEL
    )
    assert shown(catalog, photo) == ["cat", "roof"]
    (cat, roof) = catalog.tags.of([photo])[photo]
    assert (cat.name_zh, cat.probability, cat.threshold) == ("猫", 0.9, 0.6)
    assert (roof.source, roof.model_id) == (Source.MODEL, MODEL)
    hidden = {tag.name: tag.probability for tag in catalog.tags.of([photo], everything=True)[photo]}
    assert hidden == {"cat": 0.9, "dog": 0.59, "roof": 0.7}
    assert catalog.tags.of([photo, 99])[99] == ()


def test_the_users_word_decides(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/1", tags={"cat": 0.9})], MODEL)
    catalog.tags.untag([photo], "CAT")
    assert shown(catalog, photo) == [] and select(catalog, "cat") == []
    catalog.tags.tag([photo], "dog")
    assert shown(catalog, photo) == ["dog"] and select(catalog, "dog") == [photo]
    catalog.tags.tag([photo], "cat")
    assert shown(catalog, photo) == ["cat", "dog"]
    catalog.tags.untag([photo], "dog")
    assert shown(catalog, photo) == ["cat"]
    assert len(catalog.tags.of([photo], everything=True)[photo]) == 2


def test_the_users_word_outlives_a_new_analysis(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/1", tags={"cat": 0.9})], MODEL)
    catalog.tags.untag([photo], "cat")
    catalog.analyses.record([analysed("one", "/1", tags={"cat": 0.95})], MODEL)
    assert shown(catalog, photo) == []


def test_imported_tags_are_shown_until_the_user_takes_them_away(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/1")], MODEL)
    catalog.tags.tag([photo], "Venice", Source.IMPORTED)
    catalog.tags.tag([photo], "venice", Source.IMPORTED)
    assert shown(catalog, photo) == ["Venice"]
    catalog.tags.untag([photo], "venice")
    assert shown(catalog, photo) == []


def test_tagging_what_is_not_there_is_refused(catalog: Catalog) -> None:
    with pytest.raises(NothingFound, match="41"):
        catalog.tags.tag([41], "cat")
    with pytest.raises(NothingFound, match="unicorn"):
        catalog.tags.untag([41], "unicorn")
    with pytest.raises(UsageError):
        catalog.tags.tag([], "  ")


def test_a_word_in_chinese_may_mean_several_tags(catalog: Catalog) -> None:
    assert [tag.name for tag in catalog.tags.find("屋顶")] == ["roof", "rooftop"]
    assert [tag.name for tag in catalog.tags.find("Cat")] == ["cat"]
    assert catalog.tags.find("ca%") == ()
    assert "rooftop" in [tag.name for tag in catalog.tags.similar("rooftops")]


def test_filters_combine(catalog: Catalog) -> None:
    both, cat, dog, _ = catalog.analyses.record(
        [
            analysed("both", "/a/1", tags={"cat": 0.9, "dog": 0.9}),
            analysed("cat", "/a/2", tags={"cat": 0.8, "dog": 0.4}),
            analysed("dog", "/ab/3", tags={"dog": 0.9}),
            analysed("none", "/ab/4"),
        ],
        MODEL,
    )
    ids = {name: tag_id(catalog, name) for name in ("cat", "dog", "roof")}
    assert select(catalog, "cat") == [both, cat]
    assert select(catalog, "cat", "dog") == [both]
    assert select(catalog, "cat", none_of=(ids["dog"],)) == [cat]
    assert select(catalog, "dog", folders=(Path("/a"),)) == [both]
    assert select(catalog, "cat", "dog", min_probability=0.3) == [both, cat]
    assert select(catalog, "cat", min_probability=0.85) == [both]
    either = PhotoFilter(all_of=((ids["cat"], ids["roof"], ids["dog"]),))
    assert catalog.photos.select(either).tolist() == [both, cat, dog]
    assert catalog.photos.select(PhotoFilter(none_of=(ids["cat"],))).tolist() == [dog, 4]
    assert catalog.photos.select(PhotoFilter(folders=(Path("/ab"), Path("/a")))).dtype == np.int64


def test_time_is_the_cameras_else_the_files(catalog: Catalog) -> None:
    noon = datetime(2024, 5, 1, 12)
    by_camera, by_file = catalog.analyses.record(
        [
            analysed("camera", "/1", taken_at=noon, mtime_ns=0),
            analysed("file", "/2", mtime_ns=int(noon.timestamp()) * 10**9),
        ],
        MODEL,
    )

    def taken(after: datetime | None, before: datetime | None) -> list[int]:
        return catalog.photos.select(PhotoFilter(after=after, before=before)).tolist()

    assert taken(noon, None) == [by_camera, by_file]
    assert taken(None, noon) == []
    assert taken(datetime(2024, 5, 1), datetime(2024, 5, 2)) == [by_camera, by_file]
    assert taken(datetime(2024, 5, 2), None) == []
    assert taken(datetime(1, 1, 1), datetime(9999, 12, 31)) == [by_camera, by_file]
    assert taken(datetime(9999, 1, 1), None) == taken(None, datetime(1, 1, 2)) == []


def test_deleted_photos_are_neither_found_nor_counted(catalog: Catalog) -> None:
    catalog.analyses.record([analysed("one", "/1", tags={"cat": 0.9})], MODEL)
    catalog.files.mark_deleted([Path("/1")])
    assert select(catalog, "cat") == [] and catalog.tags.counts() == ()


def test_tags_are_counted_as_they_are_shown(catalog: Catalog) -> None:
    one, two = catalog.analyses.record(
        [
            analysed("one", "/1", tags={"cat": 0.9, "dog": 0.1}),
            analysed("two", "/2", tags={"cat": 0.7, "roof": 0.8}),
        ],
        MODEL,
    )
    catalog.tags.tag([one], "cat")
    catalog.tags.tag([one], "holiday")
    assert [(count.tag.name, count.photos) for count in catalog.tags.counts()] == [
        ("cat", 2),
        ("holiday", 1),
        ("roof", 1),
    ]
    catalog.tags.untag([two], "cat")
    assert catalog.tags.counts(limit=1)[0].photos == 1


def test_probabilities_of_tags_thresholds_aside(catalog: Catalog) -> None:
    one, two = catalog.analyses.record(
        [analysed("one", "/1", tags={"cat": 0.2, "dog": 0.9}), analysed("two", "/2")], MODEL
    )
    catalog.tags.tag([two], "cat")
    catalog.tags.untag([one], "dog")
    ids = [tag_id(catalog, name) for name in ("cat", "dog")]
    table = catalog.photos.probability([two, one, 77], ids)
    assert table.dtype == np.float32
    assert np.allclose(table, [[1, 0], [0.2, 0], [0, 0]])


def test_a_new_models_tags_replace_the_old_ones_photo_by_photo(catalog: Catalog) -> None:
    one, two = catalog.analyses.record(
        [
            analysed("one", "/1", tags={"cat": 0.9}),
            analysed("two", "/2", tags={"cat": 0.9}),
        ],
        MODEL,
    )
    catalog.models.register(OTHER, "other", WIDTH, (*VOCABULARY, TagName("tabby", None, 0.5)))
    catalog.models.activate(OTHER)
    catalog.analyses.record([analysed("one", tags={"dog": 0.9})], OTHER)
    assert shown(catalog, one) == ["dog"] and shown(catalog, two) == ["cat"]
    assert select(catalog, "cat") == [two]
    catalog.models.activate(MODEL)
    assert shown(catalog, one) == ["cat"]


def test_a_photo_is_found_by_any_path(catalog: Catalog) -> None:
    odd = os.fsdecode(b"/new\nline/\xff\xfe.jpg")
    (photo,) = catalog.analyses.record([analysed("one", odd)], MODEL)
    record = catalog.photos.at(Path(odd))
    assert record is not None and record.id == photo and record.files == (Path(odd),)
    assert catalog.photos.at(Path("/other")) is None
