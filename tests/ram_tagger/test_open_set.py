"""Concepts: the file they come in, the templates that stand in, and how they are scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standins import SMALL_TAGS

from photoindex.concept_file import parse_concepts, read_concepts
from photoindex.errors import ConceptError
from photoindex.tagger import Concept, ImageTokens, LabelEmbeddings, StoredPhotos
from ram_tagger.predict import RamTagger
from ram_tagger.templates import TEMPLATES, describe

CAT = ("a furry animal", "whiskers")

# The three forms


def test_the_form_of_ram_plus_is_read():
    text = json.dumps([{"cat": list(CAT)}, {"jaguar": ["spots"], "puma": []}])
    assert parse_concepts(text) == [
        Concept("cat", CAT, 0.5),
        Concept("jaguar", ("spots",), 0.5),
        Concept("puma", (), 0.5),
    ]


def test_a_plain_object_is_read():
    text = json.dumps({"cat": list(CAT), "puma": []})
    assert parse_concepts(text) == [Concept("cat", CAT), Concept("puma", ())]


def test_an_object_with_settings_is_read():
    table = {"cat": {"descriptions": list(CAT), "threshold": 0.3, "zh": "猫"}, "puma": {}}
    assert parse_concepts(json.dumps(table)) == [
        Concept("cat", CAT, 0.3, "猫"),
        Concept("puma", (), 0.5, None),
    ]


def test_the_forms_mix():
    table = [{"cat": list(CAT)}, {"puma": {"threshold": 0.7}}]
    assert [c.threshold for c in parse_concepts(json.dumps(table))] == [0.5, 0.7]


def test_a_byte_order_mark_and_odd_spaces_do_no_harm(tmp_path: Path):
    path = tmp_path / "concepts.json"
    path.write_text('{"  tabby \\n cat ": ["  striped "]}', encoding="utf-8-sig")
    assert read_concepts(path) == [Concept("tabby cat", ("striped",))]


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
        st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_every_well_formed_file_comes_back_entry_by_entry(table: dict[str, list[str]]):
    if len({name.casefold() for name in table}) < len(table):
        return
    read = parse_concepts(json.dumps(table))
    assert [(c.name, list(c.descriptions)) for c in read] == list(table.items())
    assert parse_concepts(json.dumps([{n: d} for n, d in table.items()])) == read


# Malformed files are refused whole, naming the entry


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ('{"cat": [}', "not JSON: .* in line 1"),
        ("[" * 100_000, "nested too deeply"),
        ("3", "expected an object or a list"),
        ("null", "expected an object or a list"),
        ("{}", "no concept in it"),
        ("[]", "no concept in it"),
        ("[{}]", "no concept in it"),
        ('["cat"]', "entry 1: expected {name:"),
        ('[{"cat": []}, ["dog"]]', "entry 2: expected {name:"),
        ('{"": ["x"]}', "empty name"),
        ('{" \\t ": ["x"]}', "empty name"),
        ('{"a\\u0000b": ["x"]}', "not a name"),
        ('{"\\ud800": ["x"]}', "not a name"),
        (json.dumps({"x" * 201: []}), f'concept "{"x" * 40}…": not a name'),
        ('{"cat": "furry"}', 'concept "cat": descriptions must be a list'),
        ('{"cat": null}', 'concept "cat": descriptions must be a list'),
        ('{"cat": 3}', 'concept "cat": descriptions must be a list'),
        ('{"cat": ["furry", 3]}', 'concept "cat": description 2 is not a text'),
        ('{"cat": ["furry", ""]}', 'concept "cat": description 2 is not a text'),
        ('{"cat": ["\\ud800"]}', 'concept "cat": description 1 is not a text'),
        (json.dumps({"cat": ["x"] * 1001}), 'concept "cat": more than 1000 descriptions'),
        ('{"cat": {"descriptions": "furry"}}', 'concept "cat": descriptions must be a list'),
        ('{"cat": {"description": []}}', 'concept "cat": unknown field "description"'),
        ('{"cat": {"threshold": "high"}}', 'concept "cat": threshold must be a number'),
        ('{"cat": {"threshold": true}}', 'concept "cat": threshold must be a number'),
        ('{"cat": {"threshold": null}}', 'concept "cat": threshold must be a number'),
        ('{"cat": {"threshold": 0}}', 'concept "cat": threshold must be a number'),
        ('{"cat": {"threshold": 1}}', 'concept "cat": threshold must be a number'),
        ('{"cat": {"threshold": 1e999}}', 'concept "cat": threshold must be a number'),
        (f'{{"cat": {{"threshold": 1{"0" * 400}}}}}', 'concept "cat": threshold must be a number'),
        (f'{{"cat": {{"threshold": 1{"0" * 9000}}}}}', "not JSON that can be read"),
        ('{"cat": {"threshold": NaN}}', "NaN is no number"),
        ('{"cat": {"zh": 3}}', 'concept "cat": zh must be a text: write a name or leave it out'),
        ('{"cat": {"zh": " "}}', 'concept "cat": zh must be a text: write a name or leave it out'),
        ('{"cat": {"zh": "\\ud800"}}', 'concept "cat": zh must be a text'),
        ('{"cat": [], "cat": []}', '"cat" stands there twice'),
        ('[{"cat": []}, {"cat": []}]', 'concept "cat" stands there twice'),
        ('{"cat": [], "Cat": []}', 'concept "Cat" stands there twice'),
        ('{"cat": [], " cat ": []}', 'concept "cat" stands there twice'),
        ('{"cat": {"zh": "猫", "zh": "猫咪"}}', '"zh" stands there twice'),
    ],
)
def test_a_malformed_file_names_what_is_wrong(text: str, message: str, tmp_path: Path):
    path = tmp_path / "concepts.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConceptError, match=message) as caught:
        read_concepts(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    with pytest.raises(ConceptError, match="cannot be read: No such file"):
        read_concepts(tmp_path / "lost.json")
    with pytest.raises(ConceptError, match="cannot be read"):
        read_concepts(tmp_path)
    latin = tmp_path / "latin.json"
    latin.write_bytes('{"café": []}'.encode("latin-1"))
    with pytest.raises(ConceptError, match="not UTF-8"):
        read_concepts(latin)


# Label embeddings


def test_a_concept_without_descriptions_gets_the_templates():
    filled = describe(Concept("tabby cat"))
    assert len(filled) == len(TEMPLATES) >= 3
    assert all("tabby cat" in text for text in filled)
    assert describe(Concept("cat", CAT)) == CAT


def test_a_name_with_braces_is_no_template():
    assert "a photo of {0} {x}" in describe(Concept("{0} {x}"))


def test_each_description_is_embedded_by_itself_at_unit_length(small: RamTagger):
    concepts = [Concept("cat", CAT), Concept("puma"), Concept("one", ("a dog",))]
    labels = small.embed_concepts(concepts)
    assert labels.names == ("cat", "puma", "one")
    assert labels.counts.tolist() == [2, len(TEMPLATES), 1]
    assert labels.embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(labels.embeddings, axis=1), 1, atol=1e-5)
    assert np.allclose(labels.embeddings[:2], small.embed_text(CAT), atol=1e-6)


def test_no_concepts_give_no_labels(small: RamTagger):
    labels = small.embed_concepts([])
    assert labels.embeddings.shape == (0, 64)
    assert len(labels) == 0


def test_a_concept_added_today_scores_as_the_tag_it_would_have_been(small: RamTagger, parity):
    """A vocabulary entry, described again as a concept, gets the figure of the closed set."""
    (prediction,) = small.predict([parity.recipe.picture(3)])
    tokens = ImageTokens.quantise(prediction.tokens[None])
    exact = StoredPhotos(prediction.embedding[None], tokens)
    concepts = [Concept(name, tuple(texts)) for name, (_, texts) in SMALL_TAGS.items()]
    together = small.score(small.embed_concepts(concepts), [exact])[0]
    assert np.allclose(together, prediction.probabilities, atol=0.01)  # int8 tokens
    for row, concept in enumerate(concepts):
        alone = small.score(small.embed_concepts([concept]), [exact])[0, 0]
        assert alone == pytest.approx(together[row], abs=1e-5)


def test_labels_join_in_order(small: RamTagger):
    first, second = (small.embed_concepts([Concept(name)]) for name in ("cat", "dog"))
    joined = LabelEmbeddings.join([first, second])
    assert joined.names == ("cat", "dog")
    both = small.embed_concepts([Concept("cat"), Concept("dog")])
    assert np.allclose(joined.embeddings, both.embeddings, atol=1e-5)
