"""A library of scenes that the bundled model never saw, some things left out on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawn_scenes import ABSENT, TRIAL, Scenes

from photoindex import Library, Settings
from ram_tagger.sketch.trial import QUERIED, read_trial


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    trial, pictures = read_trial(TRIAL)
    folder = tmp_path_factory.mktemp("scenes")
    shown: dict[str, frozenset[str]] = {}
    for number in range(QUERIED):
        if not set(ABSENT) & set(trial.shown[number]):
            name = f"{number:03}.png"
            pictures[number].save(folder / name)
            shown[name] = frozenset(trial.shown[number])
    texts = [
        (query.text, frozenset(f"{n:03}.png" for n in query.scenes) & shown.keys())
        for query in trial.queries
    ]
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        library=home / "library", models=home / "models", model="sketch", batch_size=32
    )
    with Library.open(settings) as library:
        library.index([folder])
        yield Scenes(library, shown, tuple((text, names) for text, names in texts if names))
