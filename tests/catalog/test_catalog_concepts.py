"""Concepts: added all or none, held against a threshold that moves, followed by new photos."""

from __future__ import annotations

import numpy as np
import pytest
from small_model import MODEL, VOCABULARY, WIDTH, analysed, embedded

from photoindex.catalog import concepts as kept
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.chunks import CHUNK
from photoindex.catalog.records import NewConcept, PhotoFilter
from photoindex.errors import ConceptError, NothingFound, UsageError
from photoindex.photo import Source
from photoindex.tagger import Concept

OTHER = "other-1"
TABBY = Concept("tabby", ("a striped cat", "a cat with stripes"), 0.5, "虎斑猫")


def scored(concept: Concept, probabilities: dict[int, float], model: str = MODEL) -> NewConcept:
    return NewConcept(
        concept,
        embedded(concept),
        model,
        np.array(list(probabilities), dtype=np.int64),
        np.array(list(probabilities.values()), dtype=np.float32),
    )


@pytest.fixture
def photos(catalog: Catalog) -> list[int]:
    return catalog.analyses.record([analysed(f"{n}", f"/{n}") for n in range(4)], MODEL)


def matching(catalog: Catalog, name: str) -> list[int]:
    (tag,) = catalog.tags.find(name)
    return catalog.photos.select(PhotoFilter(all_of=((tag.id,),))).tolist()


def test_a_concept_is_shown_like_a_tag(catalog: Catalog, photos: list[int]) -> None:
    values = dict(zip(photos, (0.9, 0.5, 0.3, 0.01), strict=True))
    catalog.concepts.add([scored(TABBY, values)])
    (record,) = catalog.concepts.all()
    assert record.concept == TABBY and (record.matched, record.scored) == (2, 4)
    assert catalog.concepts.get("TABBY") == record and catalog.concepts.get("lion") is None
    assert matching(catalog, "虎斑猫") == photos[:2]
    (tag,) = catalog.tags.of([photos[0]])[photos[0]]
    assert (tag.name, tag.name_zh, tag.threshold) == ("tabby", "虎斑猫", 0.5)
    assert (tag.source, tag.model_id) == (Source.CONCEPT, MODEL)
    assert catalog.tags.of([photos[3]], everything=True)[photos[3]] == ()  # under the floor


def test_a_threshold_moves_without_scoring_again(catalog: Catalog, photos: list[int]) -> None:
    catalog.concepts.add([scored(TABBY, dict(zip(photos, (0.9, 0.5, 0.3, 0.01), strict=True)))])
    assert catalog.concepts.set_threshold("tabby", 0.25) is True
    assert matching(catalog, "tabby") == photos[:3]
    assert catalog.concepts.all()[0].matched == 3
    assert catalog.concepts.set_threshold("lion", 0.25) is False
    with pytest.raises(UsageError, match=r"0\.05"):
        catalog.concepts.set_threshold("tabby", 0.01)


def test_nothing_is_half_added(catalog: Catalog, photos: list[int]) -> None:
    lion = scored(Concept("lion", ("a big cat",)), {photos[0]: 0.9}, model="unknown")
    with pytest.raises(NothingFound):
        catalog.concepts.add([scored(TABBY, {photos[0]: 0.9}), lion])
    assert catalog.concepts.all() == () and catalog.tags.find("tabby") == ()


def test_a_concept_of_the_same_name_is_replaced(catalog: Catalog, photos: list[int]) -> None:
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.9))])
    old = catalog.concepts.all()[0]
    changed = Concept("tabby", ("a small tiger",), 0.4)
    catalog.concepts.add([scored(changed, {photos[1]: 0.45})])
    (new,) = catalog.concepts.all()
    assert new.concept == changed and new.matched == 1 and new.id != old.id
    assert matching(catalog, "tabby") == [photos[1]]


def test_a_concept_that_follows_a_change_of_model_is_not_added_anew(
    catalog: Catalog, photos: list[int]
) -> None:
    lion = Concept("lion", ("a big cat",))
    catalog.concepts.add([scored(TABBY, {}), scored(lion, {})])
    again = [scored(TABBY, dict.fromkeys(photos, 0.9)), scored(lion, dict.fromkeys(photos, 0.9))]
    catalog.concepts.remove("tabby")
    catalog.concepts.set_threshold("lion", 0.8)
    catalog.concepts.follow(again)
    (kept,) = catalog.concepts.all()
    assert kept.concept == Concept("lion", ("a big cat",), 0.8)
    assert kept.matched == 4 and catalog.tags.find("tabby") == ()


def test_a_concept_and_a_tag_may_share_a_name(catalog: Catalog) -> None:
    one, two = catalog.analyses.record(
        [analysed("one", "/1", tags={"cat": 0.9}), analysed("two", "/2", tags={"cat": 0.3})], MODEL
    )
    cat = Concept("Cat", ("a cat",), 0.5)
    catalog.concepts.add([scored(cat, {one: 0.2, two: 0.8})])
    assert matching(catalog, "cat") == [one, two]
    assert [tag.source for tag in catalog.tags.of([two])[two]] == [Source.CONCEPT]
    assert [count.photos for count in catalog.tags.counts()] == [2]
    assert catalog.concepts.remove("cat") is True
    assert matching(catalog, "cat") == [one]
    assert catalog.tags.find("cat")[0].name_zh == "猫"


def test_removing_a_concept_leaves_people_their_tags(catalog: Catalog, photos: list[int]) -> None:
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.9))])
    catalog.tags.tag(photos[:1], "tabby")
    catalog.tags.untag(photos[1:2], "tabby")
    assert matching(catalog, "tabby") == [photos[0], *photos[2:]]
    assert catalog.concepts.remove("tabby") is True
    assert catalog.concepts.remove("tabby") is False
    assert matching(catalog, "tabby") == photos[:1]
    lion = Concept("lion", ("a big cat",))
    catalog.concepts.add([scored(lion, {})])
    catalog.concepts.remove("lion")
    assert catalog.tags.find("lion") == ()


def test_new_photos_meet_the_stored_concepts(catalog: Catalog, photos: list[int]) -> None:
    assert catalog.concepts.embeddings(MODEL) is None
    lion = Concept("lion", ("a big cat",))
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.1)), scored(lion, {})])
    held = catalog.concepts.embeddings(MODEL)
    assert held is not None
    assert held.labels.names == ("tabby", "lion") and held.labels.counts.tolist() == [2, 1]
    assert np.array_equal(held.labels.embeddings[:2], embedded(TABBY).embeddings)
    tabby = int(held.ids[0])
    item = analysed("new", "/new", concepts={tabby: 0.8, int(held.ids[1]): 0.01, 999: 0.9})
    (new,) = catalog.analyses.record([item], MODEL)
    assert matching(catalog, "tabby") == [new]
    assert catalog.concepts.get("tabby").scored == 5  # type: ignore[union-attr]


def test_photos_analysed_while_a_concept_was_added_are_caught_up(
    catalog: Catalog, photos: list[int]
) -> None:
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos[:3], 0.9))])
    concept = catalog.concepts.all()[0].id
    (late,) = catalog.analyses.record([analysed("late", "/late")], MODEL)
    ((key, waiting),) = catalog.concepts.unscored(MODEL).items()
    assert key == concept and waiting.tolist() == [photos[3], late]
    assert catalog.concepts.all()[0].scored == 3
    catalog.concepts.score(
        concept, MODEL, np.array([photos[3], late, 99]), np.array([0.7, 0.01, 0.9], np.float32)
    )
    assert catalog.concepts.unscored(MODEL) == {}
    assert matching(catalog, "tabby") == photos
    catalog.concepts.score(concept, MODEL, waiting, np.ones(2, np.float32))
    assert matching(catalog, "tabby") == photos  # what is not waiting is not written twice


def test_a_concept_removed_while_it_was_scored_stays_away(
    catalog: Catalog, photos: list[int]
) -> None:
    catalog.concepts.add([scored(TABBY, {photos[0]: 0.9})])
    ((concept, waiting),) = catalog.concepts.unscored(MODEL).items()
    catalog.concepts.remove("tabby")
    catalog.concepts.score(concept, MODEL, waiting, np.ones(len(waiting), np.float32))
    assert catalog.concepts.all() == () and catalog.tags.find("tabby") == ()


def test_photos_purged_while_they_were_scored_are_passed_over(
    catalog: Catalog, photos: list[int]
) -> None:
    catalog.concepts.add([scored(TABBY, {photos[0]: 0.9, 1234: 0.9})])
    assert matching(catalog, "tabby") == photos[:1]


def test_a_concept_follows_a_change_of_model(catalog: Catalog, photos: list[int]) -> None:
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.9))])
    catalog.models.register(OTHER, "other", WIDTH, VOCABULARY)
    catalog.models.activate(OTHER)
    catalog.analyses.record([analysed("0")], OTHER)
    assert catalog.concepts.without_embeddings(OTHER) == (TABBY,)
    assert matching(catalog, "tabby") == photos[1:]
    catalog.concepts.add([scored(TABBY, {photos[0]: 0.6}, model=OTHER)])
    assert catalog.concepts.without_embeddings(OTHER) == ()
    assert matching(catalog, "tabby") == photos
    assert catalog.concepts.embeddings(MODEL) is not None
    assert catalog.concepts.all()[0].scored == 1


def test_photos_of_many_chunks_in_any_order(catalog: Catalog) -> None:
    """What was purged meanwhile is left out, what came meanwhile waits."""
    batch = [analysed(f"{number}", f"/{number}") for number in range(CHUNK + 100)]
    photos = catalog.analyses.record(batch, MODEL)
    values = {photo: 0.9 if photo % 3 else 0.04 for photo in reversed(photos[:-2])}
    lion = Concept("lion", ("a big cat",))
    gone = {photos[-1] + 1: 0.9, 5 * CHUNK: 0.9}
    catalog.concepts.add([scored(TABBY, values | gone), scored(lion, values)])
    expected = [photo for photo in photos[:-2] if photo % 3]
    for name in ("tabby", "lion"):
        assert matching(catalog, name) == expected
    waiting = catalog.concepts.unscored(MODEL).values()
    assert [ids.tolist() for ids in waiting] == [photos[-2:]] * 2
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos[:5], 0.9))])
    assert matching(catalog, "tabby") == photos[:5]
    assert matching(catalog, "lion") == expected


def test_two_that_add_at_the_same_time_do_not_overfill_a_library(
    catalog: Catalog, photos: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_DESCRIPTIONS", 3)
    lion = Concept("lion", ("a big cat", "a cat with a mane"))
    for concept in (TABBY, lion):  # both see room before either is added
        catalog.concepts.see_room(MODEL, {concept.name: len(concept.descriptions)})
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.9))])
    with pytest.raises(ConceptError, match="4 descriptions"):
        catalog.concepts.add([scored(lion, dict.fromkeys(photos, 0.9))])
    assert [record.concept for record in catalog.concepts.all()] == [TABBY]
    monkeypatch.setattr(kept, "MOST_DESCRIPTIONS", 1)  # a library that had more before
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.9))])
    assert catalog.concepts.embedded(MODEL).tolist() == [catalog.concepts.all()[0].id]


def test_a_threshold_that_was_lowered_while_another_model_scored_counts(
    catalog: Catalog, photos: list[int]
) -> None:
    catalog.models.register(OTHER, "other", WIDTH, VOCABULARY)
    catalog.analyses.record([analysed("0")], OTHER)
    catalog.concepts.add([scored(TABBY, dict.fromkeys(photos, 0.9))])
    by_other = scored(TABBY, {photos[0]: 0.03}, model=OTHER)
    low = Concept("tabby", TABBY.descriptions, 0.02)
    catalog.concepts.add([scored(low, dict.fromkeys(photos, 0.9))])
    catalog.concepts.follow([by_other])
    catalog.models.activate(OTHER)
    assert matching(catalog, "tabby") == photos
