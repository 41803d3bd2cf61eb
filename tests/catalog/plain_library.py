"""The catalog's questions answered by looking at every photo in a few dictionaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from small_model import MODEL

from photoindex.photo import Source

FLOOR = 0.05
"""What a concept says of photos is kept from here on."""


def path_of(number: int, copy: bool = False) -> Path:
    """Odd photos lie in a folder of their own."""
    folder = "/p/odd" if number % 2 else "/p"
    return Path(f"{folder}/{number}{'-copy' * copy}.jpg")


@dataclass
class PlainLibrary:
    """A library without any art; photos by their number in the test.

    vocabulary: threshold by (model, tag); files: the photo, None for one that cannot be read, and
    the state; figures: by (photo, tag, source, model); people: by (photo, tag, source), 0 for a tag
    taken off; concepts: description and threshold; embedded: (concept, model); unscored: (concept,
    model, photo).
    """

    vocabulary: dict[tuple[str, str], float] = field(default_factory=dict)
    active: str = MODEL
    ids: dict[int, int] = field(default_factory=dict)
    files: dict[Path, tuple[int | None, str]] = field(default_factory=dict)
    analysed: set[tuple[str, int]] = field(default_factory=set)
    figures: dict[tuple[int, str, Source, str], float] = field(default_factory=dict)
    people: dict[tuple[int, str, Source], float] = field(default_factory=dict)
    concepts: dict[str, tuple[str, float]] = field(default_factory=dict)
    embedded: set[tuple[str, str]] = field(default_factory=set)
    unscored: set[tuple[str, str, int]] = field(default_factory=set)

    # What it answers

    def live(self) -> set[int]:
        return {
            photo
            for photo, state in self.files.values()
            if state != "deleted" and photo is not None
        }

    def counting(self, photo: int, name: str) -> dict[tuple[Source, str], float]:
        """The figures on a photo that are not overruled by the active model's own analysis."""
        return {
            (source, model): value
            for (one, tag, source, model), value in self.figures.items()
            if (one, tag) == (photo, name)
            and (model == self.active or (self.active, photo) not in self.analysed)
        }

    def shows(self, photo: int, name: str, least: float | None = None) -> bool:
        if self.people.get((photo, name, Source.USER)) == 0:
            return False
        if any((photo, name, source) in self.people for source in (Source.USER, Source.IMPORTED)):
            return True
        return any(
            value >= (self.threshold(name, source, model) if least is None else least)
            for (source, model), value in self.counting(photo, name).items()
        )

    def threshold(self, name: str, source: Source, model: str) -> float:
        return self.vocabulary[model, name] if source is Source.MODEL else self.concepts[name][1]

    def probability(self, photo: int, name: str) -> float:
        said = [v for (one, tag, _), v in self.people.items() if (one, tag) == (photo, name)]
        if said:
            return min(said)
        return max(self.counting(photo, name).values(), default=0.0)

    # What happens

    def record(
        self,
        model: str,
        photo: int,
        with_file: bool,
        tags: dict[str, float],
        said: dict[str, float],
    ) -> None:
        """A model has looked at a photo; said: of concepts."""
        if with_file:
            self.files[path_of(photo)] = (photo, "present")
        self.analysed.add((model, photo))
        self.figures = {
            key: value for key, value in self.figures.items() if (key[0], key[3]) != (photo, model)
        }
        self.unscored = {one for one in self.unscored if one[1:] != (model, photo)}
        for name, value in tags.items():
            self.figures[photo, name, Source.MODEL, model] = value
        for name in self.concepts:
            if (name, model) in self.embedded:
                self._score(name, model, photo, said.get(name))

    def add_concept(
        self, name: str, description: str, threshold: float, model: str, said: dict[int, float]
    ) -> None:
        if name in self.concepts and self.concepts[name][0] != description:
            self.remove_concept(name)
        self.concepts[name] = (description, threshold)
        self.embedded.add((name, model))
        self._forget_figures(name, Source.CONCEPT, model)
        self.unscored = {one for one in self.unscored if one[:2] != (name, model)}
        for photo in self.ids:
            if (model, photo) in self.analysed:
                self._score(name, model, photo, said.get(photo))

    def remove_concept(self, name: str) -> None:
        self.concepts.pop(name, None)
        self._forget_figures(name, Source.CONCEPT)
        self.embedded = {one for one in self.embedded if one[0] != name}
        self.unscored = {one for one in self.unscored if one[0] != name}

    def move_threshold(self, name: str, threshold: float) -> None:
        if name in self.concepts:
            self.concepts[name] = (self.concepts[name][0], threshold)

    def score_what_waits(self, name: str, model: str, photos: set[int], value: float) -> None:
        for photo in photos:
            if (name, model, photo) in self.unscored:
                self.unscored.discard((name, model, photo))
                self._score(name, model, photo, value)

    def untag(self, photo: int, name: str) -> None:
        self.people.pop((photo, name, Source.USER), None)
        if any(key[:2] == (photo, name) for key in (*self.figures, *self.people)):
            self.people[photo, name, Source.USER] = 0.0

    def delete(self, paths: Iterable[Path]) -> None:
        """Files are gone; of one that could not be read nothing is kept."""
        for path in self.files.keys() & set(paths):
            photo, _ = self.files[path]
            self.files[path] = (photo, "deleted")
            if photo is None:
                del self.files[path]

    def come_back(self, paths: Iterable[Path]) -> None:
        for path in self.files.keys() & set(paths):
            self.files[path] = (self.files[path][0], "present")

    def move(self, path: Path, to: Path) -> None:
        if path in self.files:
            photo, _ = self.files.pop(path)
            self.files[to] = (photo, "present")

    def mount(self, folder: Path, online: bool) -> None:
        before, after = ("offline", "present") if online else ("present", "offline")
        for path, (photo, state) in self.files.items():
            if folder in path.parents and state == before:
                self.files[path] = (photo, after)

    def purge(self) -> set[int]:
        """Forget photos without a file or a word of people. Returns them."""
        kept = self.live() | {photo for photo, _, _ in self.people}
        lost = self.ids.keys() - kept
        self.files = {path: held for path, held in self.files.items() if held[1] != "deleted"}
        self.ids = {photo: one for photo, one in self.ids.items() if photo in kept}
        self.analysed = {one for one in self.analysed if one[1] in kept}
        self.figures = {key: value for key, value in self.figures.items() if key[0] in kept}
        self.unscored = {one for one in self.unscored if one[2] in kept}
        return lost

    def _score(self, name: str, model: str, photo: int, value: float | None) -> None:
        """What a model says of a concept; None: nothing yet."""
        if value is None:
            self.unscored.add((name, model, photo))
        elif value >= FLOOR:
            self.figures[photo, name, Source.CONCEPT, model] = value

    def _forget_figures(self, name: str, source: Source, model: str | None = None) -> None:
        self.figures = {
            key: value
            for key, value in self.figures.items()
            if key[1:3] != (name, source) or model not in (None, key[3])
        }
