"""Another model becomes the active one in the middle of a search: no answer mixes the two."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from turned_model import write_turned_model

from photoindex import Library, SearchOptions
from photoindex.analysis.installed import InstalledModels
from photoindex.errors import LibraryError
from photoindex.search.search import ATTEMPTS
from photoindex.tagger import Concept, Floats, LabelEmbeddings, Scorer, StoredPhotos, Tagger

QUERY = "a snowy scene with a penguin"
SAME_WIDTH, ANOTHER_WIDTH = 128, 160
OPENED, EMBEDDED, SCORED = "the model is opened", "the words are embedded", "photos are scored"
Meanwhile = Callable[[str], None]
Answer = list[tuple[str, float, object, object]]


@dataclass
class Overtaken:
    """A model's scorer after whose every step something else happens."""

    scorer: Scorer
    meanwhile: Meanwhile

    @property
    def model_id(self) -> str:
        return self.scorer.model_id

    def embed_labels(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        labels = self.scorer.embed_labels(concepts)
        self.meanwhile(EMBEDDED)
        return labels

    def embed_text(self, texts: Sequence[str]) -> Floats:
        return self.scorer.embed_text(texts)

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        probabilities = self.scorer.score(labels, photos)
        self.meanwhile(SCORED)
        return probabilities


@pytest.fixture
def overtake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Meanwhile], None]:
    """From now on something happens after every step of every model that searches open."""
    open_scorer, open_tagger = InstalledModels.scorer, InstalledModels.load

    def begin(meanwhile: Meanwhile) -> None:
        def scorer(models: InstalledModels, name: str) -> Scorer:
            opened = open_scorer(models, name)
            meanwhile(OPENED)
            return Overtaken(opened, meanwhile)

        def tagger(models: InstalledModels, name: str) -> Tagger:
            opened = open_tagger(models, name)
            meanwhile(OPENED)
            return opened

        monkeypatch.setattr(InstalledModels, "scorer", scorer)
        monkeypatch.setattr(InstalledModels, "load", tagger)

    return begin


@pytest.fixture(params=[SAME_WIDTH, ANOTHER_WIDTH])
def switch(
    request: pytest.FixtureRequest,
    open_library: Callable[..., Library],
    folder: Path,
    tmp_path: Path,
) -> Callable[[str], None]:
    """Makes "sketch" or "turned" the active model; the library is analysed by both, sketch's."""
    write_turned_model(tmp_path / "models" / "turned", request.param)

    def to(model: str) -> None:
        with open_library(model=model) as library:
            library.index([folder])

    to("turned")
    to("sketch")
    return to


def answer(library: Library, query: str = QUERY, like: Path | None = None) -> Answer:
    """Every photo with all that its place in the results rests on, and its tags."""
    hits = library.search(query, SearchOptions(everything=True, like=like)).hits
    return [(hit.photo.files[0].name, hit.score, hit.evidence, hit.matching) for hit in hits]


def once(at: str, what: Callable[[], None]) -> Meanwhile:
    """Something that happens after the first step of a kind."""
    done: list[str] = []

    def meanwhile(step: str) -> None:
        if step == at and not done:
            done.append(step)
            what()

    return meanwhile


def test_a_turned_model_says_the_same_by_other_embeddings(
    switch: Callable[[str], None], open_library: Callable[..., Library]
) -> None:
    """So whatever a search finds otherwise comes from mixing the two."""
    with open_library(model=None) as library:
        before = answer(library)
        switch("turned")
        after = answer(library)
    assert [name for name, *_ in after] == [name for name, *_ in before]
    scores = [[score for _, score, *_ in found] for found in (before, after)]
    assert np.allclose(*scores, atol=0.02)
    assert after != before


@pytest.mark.parametrize("step", [OPENED, EMBEDDED, SCORED])
def test_what_was_begun_with_the_model_before_is_begun_anew(
    switch: Callable[[str], None],
    open_library: Callable[..., Library],
    overtake: Callable[[Meanwhile], None],
    step: str,
) -> None:
    overtake(once(step, lambda: switch("turned")))
    with open_library(model=None) as library:
        found = answer(library)
        status = library.status()
        assert [model.name for model in status.models if model.active] == ["turned"]
        assert found == answer(library)


def test_an_example_picture_is_looked_at_anew(
    switch: Callable[[str], None],
    open_library: Callable[..., Library],
    overtake: Callable[[Meanwhile], None],
    folder: Path,
    tmp_path: Path,
) -> None:
    """One that is no photo of the library, so that a network has to be opened for it."""
    example = tmp_path / "example.png"
    with Image.open(folder / "penguins.jpg") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(example)
    overtake(once(OPENED, lambda: switch("turned")))
    with open_library(model=None) as library:
        found = answer(library, "", example)
        assert found[0][0] == "penguins.jpg"
        assert found == answer(library, "", example)


def test_models_that_change_all_the_while_are_told(
    switch: Callable[[str], None],
    open_library: Callable[..., Library],
    overtake: Callable[[Meanwhile], None],
) -> None:
    steps: list[str] = []

    def meanwhile(step: str) -> None:
        if step == EMBEDDED:
            steps.append(step)
            switch("turned" if len(steps) % 2 else "sketch")

    overtake(meanwhile)
    with (
        open_library(model=None) as library,
        pytest.raises(LibraryError, match="search again"),
    ):
        library.search(QUERY)
    assert len(steps) == ATTEMPTS


def test_a_model_that_took_another_ones_name_is_opened_anew(
    open_library: Callable[..., Library], folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "models" / "mine"
    write_turned_model(mine, SAME_WIDTH)
    example = tmp_path / "example.png"
    Image.new("RGB", (96, 96), "navy").save(example)
    with open_library(model="mine") as library:
        library.index([folder])
    with open_library(model=None) as library:
        before = answer(library), answer(library, "", example)
        shutil.rmtree(mine)
        write_turned_model(mine, ANOTHER_WIDTH)
        with open_library(model="mine") as another:
            assert another.index([folder]).analysed == 8
        with open_library(model=None) as another:
            after = answer(another), answer(another, "", example)
        assert (answer(library), answer(library, "", example)) == after != before


def test_a_search_before_the_first_photo_leaves_the_choice_of_a_model_open(
    library: Library, folder: Path
) -> None:
    found = library.search("", SearchOptions(like=folder / "penguins.jpg"))
    assert found.hits == ()
    assert library.search(QUERY).hits == ()
    assert library.status().models == ()
