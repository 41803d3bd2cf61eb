"""Searching real pictures: what is found, in which order, and where the list ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import ABSENT, Scenes

from photoindex import SearchOptions
from photoindex.errors import QueryError
from photoindex.search.rank import Rank


def found(scenes: Scenes, query: str, options: SearchOptions | None = None) -> list[str]:
    options = options or SearchOptions(limit=1000)
    return [hit.photo.files[0].name for hit in scenes.library.search(query, options).hits]


def recall_at_5(scenes: Scenes, rank: Rank) -> float:
    """Over texts about two things, as concepts: part of the right pictures among the first 5."""
    options = SearchOptions(limit=5, rank=rank, everything=True)
    recalls = [
        len(names & set(found(scenes, f"a picture of {text}", options))) / min(5, len(names))
        for text, names in scenes.texts
    ]
    return float(np.mean(recalls))


def test_a_tag_finds_what_shows_it(scenes: Scenes) -> None:
    got, right = set(found(scenes, "lion")), scenes.showing("lion")
    assert len(got & right) / len(right) > 0.8
    assert len(got & right) / len(got) > 0.8


def test_the_same_tag_in_the_plural_and_in_chinese(scenes: Scenes) -> None:
    assert found(scenes, "lions") == found(scenes, "lion") == found(scenes, "tag:lions")
    (tag,) = [tag for tag in scenes.library.tags() if tag.tag.name == "lion"]
    assert tag.tag.name_zh
    assert found(scenes, tag.tag.name_zh) == found(scenes, "lion")


def test_several_tags_and_a_filter(scenes: Scenes) -> None:
    both = found(scenes, "animal beach")
    without = found(scenes, "animal beach -tag:red")
    assert without
    assert set(without) < set(both) == set(found(scenes, "an animal and a beach"))


def test_a_concept_that_is_no_tag_is_found(scenes: Scenes) -> None:
    assert scenes.library.search("zebra").concept == "zebra"
    got, right = found(scenes, "a zebra, a striped animal"), scenes.showing("zebra")
    assert len(right & set(got)) / len(right) > 0.6
    assert len(right & set(got[: len(right)])) / len(right) > 0.6


def test_the_decoder_orders_clearly_better_than_similarity(scenes: Scenes) -> None:
    clip, decoder = recall_at_5(scenes, Rank.CLIP), recall_at_5(scenes, Rank.DECODER)
    fused = recall_at_5(scenes, Rank.FUSED)
    assert decoder > clip + 0.05
    assert fused > decoder - 0.02


def test_what_the_library_does_not_show_is_seldom_found(scenes: Scenes) -> None:
    hits = [len(found(scenes, f"a picture of a {name}")) for name in ABSENT]
    assert sum(count > 0 for count in hits) <= len(ABSENT) / 2
    assert sum(hits) <= 2 * len(ABSENT)


def test_words_that_mean_nothing_to_the_model_find_nothing(scenes: Scenes) -> None:
    for text in ("quarterly tax report", "xyzzy plugh", "democracy", "a bottle of wine"):
        assert found(scenes, text) == []


def test_all_shows_what_lies_below_the_cut(scenes: Scenes) -> None:
    result = scenes.library.search("xyzzy plugh", SearchOptions(limit=5, everything=True))
    assert len(result.hits) == 5
    assert not any(hit.relevant for hit in result.hits)


def test_min_probability_replaces_the_cut(scenes: Scenes) -> None:
    strict = SearchOptions(limit=1000, min_probability=0.9)
    loose = replace(strict, min_probability=0.3)
    assert set(found(scenes, "a zebra on a meadow", strict)) <= set(
        found(scenes, "a zebra on a meadow", loose)
    )
    for hit in scenes.library.search("a zebra on a meadow", loose).hits:
        assert (hit.evidence.probability or 0) >= 0.3


def test_min_probability_holds_for_similarity_too(scenes: Scenes) -> None:
    options = SearchOptions(limit=1000, rank=Rank.CLIP, min_probability=0.5)
    hits = scenes.library.search("a zebra on a meadow", options).hits
    assert hits
    assert all((hit.evidence.probability or 0) >= 0.5 for hit in hits)


def test_a_filter_holds_within_a_concept_search(scenes: Scenes) -> None:
    everything = SearchOptions(limit=1000, everything=True)
    beaches = set(found(scenes, "tag:beach"))
    got = found(scenes, "a zebra on sand tag:beach", everything)
    assert set(got) == beaches


def test_a_picture_of_the_library_is_most_like_itself(scenes: Scenes) -> None:
    name = sorted(scenes.showing("zebra"))[0]
    path = next(
        folder.path / name for folder in scenes.library.folders()
    )  # fmt: skip
    assert found(scenes, "", SearchOptions(like=path))[0] == name


def test_every_hit_explains_itself(scenes: Scenes) -> None:
    for hit in scenes.library.search("a picture of a lion and a drum").hits:
        evidence = hit.evidence
        assert evidence.similarity is not None
        assert evidence.standing is not None
        assert evidence.probability is not None
        assert evidence.usual_probability is not None
        assert hit.relevant


def test_a_tag_nobody_knows_is_an_error_with_a_hint(scenes: Scenes) -> None:
    with pytest.raises(QueryError, match="lion"):
        scenes.library.search("tag:lyon")


def test_without_words_the_newest_come_first(scenes: Scenes, tmp_path: Path) -> None:
    (folder,) = (record.path for record in scenes.library.folders())
    result = scenes.library.search(f'in:"{folder}"', SearchOptions(limit=3))
    assert result.found == len(scenes.shown)
    assert scenes.library.search(f'in:"{tmp_path}"').hits == ()
