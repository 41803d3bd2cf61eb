"""What a model saw: recorded whole, given back exactly, replaced without touching people's tags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_model import MODEL, VOCABULARY, WIDTH, analysed

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.tokens import pack_tokens, unpack_tokens
from photoindex.errors import LibraryError, NothingFound
from photoindex.photo import Source
from photoindex.tagger import Analysis, ImageTokens, StoredPhoto, StoredPhotos, Tag, TagName

OTHER = "other-1"


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.floats(-1e4, 1e4, width=32),
    )
)
def test_tokens_come_back_within_half_a_step(tokens: np.ndarray) -> None:
    quantised = ImageTokens.quantise(tokens)
    back = unpack_tokens(*pack_tokens(quantised))
    assert np.array_equal(back.values, quantised.values)
    assert np.array_equal(back.scales, quantised.scales)
    error = np.abs(back.restore() - tokens)
    assert (error <= 0.501 * quantised.scales[:, None] + 1e-30).all()


def test_the_tokens_of_the_large_model_take_less_than_80_kilobytes() -> None:
    tokens = ImageTokens.quantise(np.ones((145, 512), dtype=np.float32))
    values, scales, _ = pack_tokens(tokens)
    assert len(values) + len(scales) <= 80_000


def test_what_is_recorded_comes_back_exactly(catalog: Catalog) -> None:
    items = [analysed(f"photo {n}", f"/{n}") for n in range(300)]
    ids = catalog.analyses.record(items, MODEL)
    seen: list[int] = []
    for photo_ids, stored in catalog.analyses.stored(MODEL):
        assert len(photo_ids) == len(stored) <= 256
        seen.extend(photo_ids.tolist())
        recorded = [items[ids.index(photo_id)].analysis.stored for photo_id in photo_ids.tolist()]
        expected = StoredPhotos.of(recorded)
        assert np.array_equal(stored.embeddings, expected.embeddings)
        assert stored.tokens is not None and expected.tokens is not None
        assert np.array_equal(stored.tokens.values, expected.tokens.values)
        assert np.array_equal(stored.tokens.scales, expected.tokens.scales)
    assert seen == ids


def test_stored_photos_come_in_the_order_asked_for(catalog: Catalog) -> None:
    ids = catalog.analyses.record([analysed(f"photo {n}", f"/{n}") for n in range(300)], MODEL)
    asked = [*reversed(ids), 999_999]
    blocks = list(catalog.analyses.stored(MODEL, np.array(asked)))
    assert np.concatenate([block[0] for block in blocks]).tolist() == asked[:-1]
    assert list(catalog.analyses.stored(MODEL, [])) == []


def test_the_facts_of_a_photo_come_back(catalog: Catalog) -> None:
    item = analysed("one", "/1")
    (photo,) = catalog.analyses.record([item], MODEL)
    record = catalog.photos.by_hash("one")
    assert record is not None and record.id == photo and record.facts == item.facts
    assert catalog.photos.many([photo, 77, photo]) == [record, record]


def test_a_batch_is_recorded_whole_or_not_at_all(catalog: Catalog) -> None:
    bad = replace(
        analysed("bad", "/bad"),
        analysis=Analysis((), StoredPhoto(np.ones(WIDTH + 1, dtype=np.float32), None)),
    )
    with pytest.raises(LibraryError, match="embedding"):
        catalog.analyses.record([analysed("good", "/good"), bad], MODEL)
    unknown = replace(
        analysed("odd", "/odd"),
        analysis=replace(analysed("odd").analysis, tags=(Tag("unheard of", None, 0.9, 0.5),)),
    )
    with pytest.raises(LibraryError, match="unheard of"):
        catalog.analyses.record([analysed("good", "/good"), unknown], MODEL)
    assert catalog.status().photos == 0
    assert catalog.analyses.state(MODEL).generation == 0


def test_a_model_must_be_registered_before_it_records(catalog: Catalog) -> None:
    with pytest.raises(NothingFound, match="other-1"):
        catalog.analyses.record([analysed("one", "/1")], OTHER)
    assert catalog.analyses.state(OTHER).count == 0


def test_registering_again_changes_nothing(catalog: Catalog) -> None:
    before = catalog.models.all()
    catalog.models.register(MODEL, "renamed", 99, ())
    assert catalog.models.all() == before


def test_thresholds_of_a_known_model_follow_its_tag_list(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/1", tags={"cat": 0.5})], MODEL)
    assert catalog.tags.of([photo]) == {photo: ()}
    lower = [replace(entry, threshold=0.4) for entry in VOCABULARY]
    catalog.models.register(MODEL, "small", WIDTH, lower)
    assert [tag.name for tag in catalog.tags.of([photo])[photo]] == ["cat"]


def test_a_large_vocabulary_is_registered(catalog: Catalog) -> None:
    vocabulary = [TagName(f"tag {n}", f"标签{n}", 0.65) for n in range(4585)]
    catalog.models.register(OTHER, "other", WIDTH, vocabulary)
    assert catalog.tags.find("TAG 4584")[0].name_zh == "标签4584"


def test_a_vocabulary_that_names_a_tag_twice_is_refused(catalog: Catalog) -> None:
    with pytest.raises(LibraryError, match="twice"):
        catalog.models.register(OTHER, "o", 4, (TagName("A", None, 0.5), TagName("a", None, 0.5)))
    assert len(catalog.models.all()) == 1


def test_analysing_again_replaces_the_model_and_spares_people(catalog: Catalog) -> None:
    (photo,) = catalog.analyses.record([analysed("one", "/1", tags={"cat": 0.9})], MODEL)
    catalog.tags.tag([photo], "mine")
    catalog.tags.tag([photo], "theirs", Source.IMPORTED)
    catalog.analyses.record([analysed("one", "/1", tags={"dog": 0.8}, seed=1)], MODEL)
    tags = {tag.name: (tag.source, tag.model_id) for tag in catalog.tags.of([photo])[photo]}
    assert tags == {
        "mine": (Source.USER, None),
        "theirs": (Source.IMPORTED, None),
        "dog": (Source.MODEL, MODEL),
    }
    assert catalog.analyses.state(MODEL).count == 1


def test_the_state_tells_of_every_change_and_numbers_grow(catalog: Catalog) -> None:
    states = [catalog.analyses.state(MODEL)]
    for step in range(3):
        catalog.analyses.record([analysed("one", "/1", seed=step)], MODEL)
        states.append(catalog.analyses.state(MODEL))
    assert [state.count for state in states] == [0, 1, 1, 1]
    assert len({state.generation for state in states}) == 4
    assert [state.last for state in states] == sorted({state.last for state in states})


def test_embeddings_can_be_read_from_where_one_stopped(catalog: Catalog) -> None:
    first = catalog.analyses.record([analysed("a", "/a"), analysed("b", "/b")], MODEL)
    (block,) = catalog.analyses.embeddings(MODEL)
    assert block.ids.tolist() == first
    assert block.embeddings.shape == (2, WIDTH) and block.embeddings.dtype == np.float32
    catalog.analyses.record([analysed("c", "/c"), analysed("a", "/a", seed=1)], MODEL)
    (news,) = catalog.analyses.embeddings(MODEL, after=block.last)
    assert news.ids.tolist() == [3, first[0]]
    assert np.array_equal(news.embeddings[1], analysed("a", seed=1).analysis.stored.embedding)
    assert list(catalog.analyses.embeddings(MODEL, after=news.last)) == []
    assert catalog.analyses.photo_ids(MODEL).tolist() == [1, 2, 3]


def test_another_model_finds_the_photos_it_has_yet_to_see(catalog: Catalog) -> None:
    ids = catalog.analyses.record(
        [analysed(f"{n}", f"/{n}", f"/copy/{n}") for n in range(300)], MODEL
    )
    assert catalog.analyses.awaiting_count(MODEL) == 0
    catalog.models.register(OTHER, "other", WIDTH, VOCABULARY)
    awaiting = list(catalog.analyses.awaiting(OTHER))
    assert [file.photo_id for file in awaiting] == ids
    assert awaiting[0].path.as_posix() in ("/0", "/copy/0")
    catalog.models.activate(OTHER)
    assert catalog.status().awaiting == 300
    catalog.analyses.record([analysed("0")], OTHER)
    assert catalog.analyses.awaiting_count(OTHER) == 299
    assert catalog.analyses.has(ids[0], OTHER) and not catalog.analyses.has(ids[1], OTHER)


def test_a_tagger_without_tokens_is_fine(catalog: Catalog) -> None:
    item = analysed("one", "/1")
    bare = replace(item, analysis=Analysis((), StoredPhoto(item.analysis.stored.embedding, None)))
    catalog.analyses.record([bare], MODEL)
    ((_, stored),) = catalog.analyses.stored(MODEL)
    assert len(stored) == 1 and stored.tokens is None
    assert catalog.status().token_bytes == 0


def test_the_status_counts(catalog: Catalog) -> None:
    catalog.analyses.record([analysed("a", "/a", "/b", tags={"cat": 0.9})], MODEL)
    status = catalog.status()
    assert status.photos == 1 and sum(status.files.values()) == 2 and status.tags == 1
    assert status.token_bytes == 3 * (WIDTH + 4)
    assert status.database_bytes > 0
    assert [(m.model_id, m.analyses, m.active) for m in status.models] == [(MODEL, 1, True)]
    assert (status.models[0].token_count, status.models[0].token_width) == (3, WIDTH)


def test_settings_are_kept(catalog: Catalog) -> None:
    assert catalog.setting("theme") is None
    catalog.set_setting("theme", "dark")
    catalog.set_setting("theme", "light")
    assert catalog.setting("theme") == "light"
    catalog.set_setting("theme", None)
    assert catalog.setting("theme") is None
