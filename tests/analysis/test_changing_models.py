"""While another model analyses a library again, the one before answers, and the two never mix."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from photoindex import Library, SearchOptions

QUERY = "a snowy scene with a penguin"
WORDS = "# clip: sketch\na lion\t狮子\na panda\na penguin\n"
KILLED_AT = 4
"""Photos after which the process that analyses again is killed."""
ANALYSE_AND_DIE = f"""
import os, signal, sys
from pathlib import Path
from photoindex import Library, Settings

def progress(what, done, total):
    if what == "analysing" and done >= {KILLED_AT}:
        os.kill(os.getpid(), signal.SIGKILL)

library, models, folder = map(Path, sys.argv[1:])
settings = Settings(library=library, models=models, model="big-animals", batch_size=2)
with Library.open(settings) as opened:
    opened.index([folder], progress)
"""


def answer(library: Library) -> list[tuple[str, float, object]]:
    """Every photo with all that its place in the results rests on."""
    hits = library.search(QUERY, SearchOptions(everything=True)).hits
    return [(hit.photo.files[0].name, hit.score, hit.evidence) for hit in hits]


def embeddings(library: Library, model_id: str) -> dict[int, list[float]]:
    """Photo → its embedding by one model."""
    blocks = list(library._catalog.analyses.embeddings(model_id))
    return {
        int(number): row.tolist()
        for block in blocks
        for number, row in zip(block.ids, block.embeddings, strict=True)
    }


def indexed_beside_another_model(library: Library, folder: Path) -> None:
    """By the bundled model; the other one is installed, and has seen nothing yet."""
    words = library.settings.library.with_name("words.txt")
    words.write_text(WORDS, encoding="utf-8")
    library.index([folder])
    library.models.add(words, "big-animals", lambda what, done, total: None)


def killed_while_analysing_again(library: Library, folder: Path) -> None:
    settings = library.settings
    words = [str(path) for path in (settings.library, settings.models, folder)]
    ended = subprocess.run([sys.executable, "-c", ANALYSE_AND_DIE, *words], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_the_model_before_answers_until_the_new_one_has_every_photo(
    open_library: Callable[..., Library], folder: Path
) -> None:
    with open_library() as library:
        indexed_beside_another_model(library, folder)
        (first,) = library.status().models
        assert library.status().awaiting == 0
    with open_library(model=None) as library:
        before, by_first = answer(library), embeddings(library, first.model_id)
        killed_while_analysing_again(library, folder)

    with open_library(model=None) as library:
        status = library.status()
        old, new = status.models
        assert old.active and (old.model_id, old.analyses) == (first.model_id, 8)
        assert not new.active and KILLED_AT - 2 <= new.analyses < 8
        assert status.awaiting == 8 - new.analyses
        assert answer(library) == before
        assert embeddings(library, old.model_id) == by_first
        vectors = library._vectors(old)
        ids = vectors.ids()
        assert ids.tolist() == sorted(by_first)
        kept = np.array([by_first[photo] for photo in ids.tolist()])
        assert np.allclose(vectors.embeddings(ids), kept, atol=2e-2)

        assert library.model_name == "big-animals"
        assert library.index([folder]).analysed == status.awaiting
        status = library.status()
        assert [model.active for model in status.models] == [False, True]
        assert [model.analyses for model in status.models] == [8, 8]
        assert status.awaiting == 0
        after = answer(library)
        assert {name for name, *_ in after} == {name for name, *_ in before}
        assert after != before
        assert embeddings(library, old.model_id) == by_first


def test_photos_that_come_meanwhile_await_the_new_model_only_while_they_do(
    open_library: Callable[..., Library], folder: Path
) -> None:
    with open_library() as library:
        indexed_beside_another_model(library, folder)
        killed_while_analysing_again(library, folder)
        awaiting = library.status().awaiting
        (folder / "lions.jpg").rename(folder.with_name("lions.jpg"))
    with open_library(model=None) as library:
        assert library.status().awaiting == awaiting  # nobody has looked yet
        library.index([folder])
        assert library.status().awaiting == 0
        assert {name for name, *_ in answer(library)} == {
            path.name for path in folder.iterdir() if path.suffix != ".txt"
        }


def test_words_of_a_model_that_does_not_answer_are_no_tags(
    open_library: Callable[..., Library], folder: Path
) -> None:
    """Taken for tags, they would find nothing: neither before the change nor after it."""
    with open_library() as library:
        indexed_beside_another_model(library, folder)
        killed_while_analysing_again(library, folder)
    with open_library(model=None) as library:
        assert library.search("lion").tags == ("lion",)
        assert "a penguin" not in library.search('"a penguin"').tags
        assert library.search('"a penguin"').hits[0].photo.files[0].name == "penguins.jpg"
        library.index([folder])
        assert library.search('"a penguin"').tags == ("a penguin",)
        asked_again = library.search("lion", SearchOptions(everything=True))
        assert (asked_again.tags, asked_again.concept) == ((), "lion")
        assert len(asked_again.hits) == 8
