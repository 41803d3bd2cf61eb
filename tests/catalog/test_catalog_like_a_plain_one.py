"""Whatever happens to a library, it answers as a few dictionaries would that are looked through.

The catalog keeps tags, analysed photos and their times by the chunk, changed in place. Here the
same is kept as plainly as can be and every question is answered by looking at every photo.
"""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from small_model import MODEL, VOCABULARY, WIDTH, analysed, embedded, found

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import FileFailure, FileMove, NewConcept, PhotoFilter
from photoindex.photo import Source
from photoindex.tagger import Concept, TagName

OTHER = "other-1"
MODELS = (MODEL, OTHER)
TAGS = ("cat", "dog", "roof")
CONCEPTS = ("cat", "tabby")
WORDS = ("cat", "dog", "tabby", "holiday")
FLOOR = 0.05

numbers = st.integers(0, 7)
probabilities = st.sampled_from([0.0, 0.03, 0.05, 0.25, 0.6, 0.7, 0.9, 1.0])
thresholds = st.sampled_from([0.05, 0.25, 0.6, 0.7, 0.9])
sets_of_photos = st.sets(numbers, max_size=5)


@dataclass
class Plain:
    """A library without any art; photos by their number in the test."""

    vocabulary: dict[tuple[str, str], float] = field(default_factory=dict)
    active: str = MODEL
    ids: dict[int, int] = field(default_factory=dict)
    files: dict[Path, tuple[int | None, str]] = field(default_factory=dict)
    analysed: set[tuple[str, int]] = field(default_factory=set)
    figures: dict[tuple[int, str, Source, str], float] = field(default_factory=dict)
    people: dict[tuple[int, str, Source], float] = field(default_factory=dict)
    concepts: dict[str, tuple[str, float]] = field(default_factory=dict)  # description, threshold
    embedded: set[tuple[str, str]] = field(default_factory=set)  # concept, model
    unscored: set[tuple[str, str, int]] = field(default_factory=set)

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

    def forget_figures(self, name: str, source: Source, model: str | None = None) -> None:
        self.figures = {
            key: value
            for key, value in self.figures.items()
            if key[1:3] != (name, source) or model not in (None, key[3])
        }


@functools.cache
def empty_library() -> bytes:
    """A library with two models, whose photos' numbers are about to begin a second chunk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.db"
        with Catalog.open(path) as catalog:
            for model in MODELS:
                catalog.models.register(model, model, WIDTH, VOCABULARY)
            catalog.models.activate(MODEL)
        connection = sqlite3.connect(path)
        connection.execute("INSERT INTO sqlite_sequence VALUES ('photos', 4092)")
        connection.commit()
        connection.close()
        return path.read_bytes()


def content(number: int) -> str:
    return f"photo {number}"


def path_of(number: int, copy: bool = False) -> Path:
    """Odd photos lie in a folder of their own."""
    folder = "/p/odd" if number % 2 else "/p"
    return Path(f"{folder}/{number}{'-copy' * copy}.jpg")


class LibraryLikeAPlainOne(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        path = self.folder / "library.db"
        path.write_bytes(empty_library())
        self.catalog = Catalog.open(path)
        self.plain = Plain()
        for model in MODELS:
            for entry in VOCABULARY:
                self.plain.vocabulary[model, entry.name] = entry.threshold

    def teardown(self) -> None:
        self.catalog.close()
        shutil.rmtree(self.folder)

    def ids(self, photos: set[int]) -> list[int]:
        return [self.plain.ids[photo] for photo in sorted(photos)]

    @rule(
        model=st.sampled_from(MODELS),
        batch=st.lists(
            st.tuples(
                numbers,
                st.booleans(),
                st.dictionaries(st.sampled_from(TAGS), probabilities),
                st.dictionaries(st.sampled_from(CONCEPTS), probabilities),
            ),
            max_size=4,
        ),
    )
    def record(
        self,
        model: str,
        batch: list[tuple[int, bool, dict[str, float], dict[str, float]]],
    ) -> None:
        plain = self.plain
        known = {one.concept.name: one.id for one in self.catalog.concepts.all()}
        items = [
            analysed(
                content(photo),
                *([str(path_of(photo))] if with_file else []),
                tags=tags,
                concepts={known[name]: value for name, value in said.items() if name in known},
            )
            for photo, with_file, tags, said in batch
        ]
        ids = self.catalog.analyses.record(items, model)
        for (photo, with_file, tags, said), photo_id in zip(batch, ids, strict=True):
            assert plain.ids.setdefault(photo, photo_id) == photo_id
            if with_file:
                plain.files[path_of(photo)] = (photo, "present")
            plain.analysed.add((model, photo))
            plain.figures = {
                key: value
                for key, value in plain.figures.items()
                if (key[0], key[3]) != (photo, model)
            }
            plain.unscored = {one for one in plain.unscored if one[1:] != (model, photo)}
            for name, value in tags.items():
                plain.figures[photo, name, Source.MODEL, model] = value
            for name in plain.concepts:
                if (name, model) not in plain.embedded:
                    continue
                if name not in said:
                    plain.unscored.add((name, model, photo))
                elif said[name] >= FLOOR:
                    plain.figures[photo, name, Source.CONCEPT, model] = said[name]

    @rule(
        name=st.sampled_from(CONCEPTS),
        description=st.sampled_from(["one", "another"]),
        threshold=thresholds,
        model=st.sampled_from(MODELS),
        said=st.dictionaries(numbers, probabilities),
    )
    def add_concept(
        self, name: str, description: str, threshold: float, model: str, said: dict[int, float]
    ) -> None:
        plain = self.plain
        concept = Concept(name, (description,), threshold)
        said = {photo: value for photo, value in said.items() if photo in plain.ids}
        photo_ids = np.array([plain.ids[photo] for photo in said], dtype=np.int64)
        values = np.array(list(said.values()), dtype=np.float32)
        self.catalog.concepts.add(
            [NewConcept(concept, embedded(concept), model, photo_ids, values)]
        )
        if name in plain.concepts and plain.concepts[name][0] != description:
            self.forget_concept(name)
        plain.concepts[name] = (description, threshold)
        plain.embedded.add((name, model))
        plain.forget_figures(name, Source.CONCEPT, model)
        plain.unscored = {one for one in plain.unscored if one[:2] != (name, model)}
        for photo in plain.ids:
            if (model, photo) not in plain.analysed:
                continue
            if photo not in said:
                plain.unscored.add((name, model, photo))
            elif said[photo] >= FLOOR:
                plain.figures[photo, name, Source.CONCEPT, model] = said[photo]

    def forget_concept(self, name: str) -> None:
        self.plain.concepts.pop(name, None)
        self.plain.forget_figures(name, Source.CONCEPT)
        self.plain.embedded = {one for one in self.plain.embedded if one[0] != name}
        self.plain.unscored = {one for one in self.plain.unscored if one[0] != name}

    @rule(name=st.sampled_from(CONCEPTS))
    def remove_concept(self, name: str) -> None:
        assert self.catalog.concepts.remove(name) is (name in self.plain.concepts)
        self.forget_concept(name)

    @rule(name=st.sampled_from(CONCEPTS), threshold=thresholds)
    def move_a_concepts_threshold(self, name: str, threshold: float) -> None:
        assert self.catalog.concepts.set_threshold(name, threshold) is (name in self.plain.concepts)
        if name in self.plain.concepts:
            self.plain.concepts[name] = (self.plain.concepts[name][0], threshold)

    @rule(model=st.sampled_from(MODELS), photos=sets_of_photos, value=probabilities)
    def score_what_waits(self, model: str, photos: set[int], value: float) -> None:
        plain = self.plain
        for record in self.catalog.concepts.all():
            asked = photos & plain.ids.keys()
            self.catalog.concepts.score(
                record.id,
                model,
                np.array(self.ids(asked), dtype=np.int64),
                np.full(len(asked), value, dtype=np.float32),
            )
            for photo in asked:
                waiting = (record.concept.name, model, photo)
                if waiting in plain.unscored:
                    plain.unscored.discard(waiting)
                    if value >= FLOOR:
                        key = (photo, record.concept.name, Source.CONCEPT, model)
                        plain.figures[key] = value

    @rule(
        photos=sets_of_photos,
        name=st.sampled_from(WORDS),
        source=st.sampled_from([Source.USER, Source.IMPORTED]),
    )
    def tag(self, photos: set[int], name: str, source: Source) -> None:
        photos = photos & self.plain.ids.keys()
        self.catalog.tags.tag(self.ids(photos), name, source)
        self.plain.people |= {(photo, name, source): 1.0 for photo in photos}

    @rule(photos=sets_of_photos, name=st.sampled_from(WORDS))
    def untag(self, photos: set[int], name: str) -> None:
        plain = self.plain
        if not self.catalog.tags.find(name):
            return
        photos = photos & plain.ids.keys()
        self.catalog.tags.untag(self.ids(photos), name)
        for photo in photos:
            plain.people.pop((photo, name, Source.USER), None)
            said = any(key[:2] == (photo, name) for key in (*plain.figures, *plain.people))
            if said:
                plain.people[photo, name, Source.USER] = 0.0

    @rule(model=st.sampled_from(MODELS))
    def activate(self, model: str) -> None:
        self.catalog.models.activate(model)
        self.plain.active = model

    @rule(model=st.sampled_from(MODELS), name=st.sampled_from(TAGS), threshold=thresholds)
    def move_a_models_threshold(self, model: str, name: str, threshold: float) -> None:
        self.catalog.models.register(model, model, WIDTH, [TagName(name, None, threshold)])
        self.plain.vocabulary[model, name] = threshold

    @rule(photos=sets_of_photos)
    def delete_files(self, photos: set[int]) -> None:
        paths = [path_of(photo) for photo in photos]
        self.catalog.files.mark_deleted(paths)
        for path in paths:
            if path in self.plain.files:
                photo, _ = self.plain.files[path]
                self.plain.files[path] = (photo, "deleted")
                if photo is None:
                    del self.plain.files[path]

    @rule(photos=sets_of_photos)
    def files_come_back(self, photos: set[int]) -> None:
        self.catalog.files.restamp([found(path_of(photo)) for photo in photos])
        for path in map(path_of, photos):
            if path in self.plain.files:
                self.plain.files[path] = (self.plain.files[path][0], "present")

    @rule(one=numbers, other=numbers)
    def move_a_file(self, one: int, other: int) -> None:
        self.catalog.files.move([FileMove(path_of(one), found(path_of(other, copy=True)))])
        if path_of(one) in self.plain.files:
            photo, _ = self.plain.files.pop(path_of(one))
            self.plain.files[path_of(other, copy=True)] = (photo, "present")

    @rule(number=numbers)
    def fail_to_read_a_file(self, number: int) -> None:
        self.catalog.files.fail([FileFailure(found(path_of(number)), "truncated")])
        self.plain.files[path_of(number)] = (None, "present")

    @rule(online=st.booleans(), folder=st.sampled_from(["/p", "/p/odd"]))
    def mount_or_unmount(self, online: bool, folder: str) -> None:
        self.catalog.folders.set_online(Path(folder), online)
        before, after = ("offline", "present") if online else ("present", "offline")
        for path, (photo, state) in self.plain.files.items():
            if Path(folder) in path.parents and state == before:
                self.plain.files[path] = (photo, after)

    @rule(both=st.booleans())
    def forget_a_folder(self, both: bool) -> None:
        self.catalog.folders.remember(Path("/p"))
        if both:
            self.catalog.folders.remember(Path("/p/odd"))
        self.catalog.folders.forget(Path("/p"))
        self.catalog.folders.set_online(Path("/p/odd"), True)
        for path, (photo, state) in list(self.plain.files.items()):
            odd = Path("/p/odd") in path.parents
            if odd and both:
                self.plain.files[path] = (photo, "present" if state == "offline" else state)
            elif photo is None:
                del self.plain.files[path]
            else:
                self.plain.files[path] = (photo, "deleted")
        self.catalog.folders.forget(Path("/p/odd"))
        for path, (photo, _) in list(self.plain.files.items()):
            if both and Path("/p/odd") in path.parents:
                self.plain.files[path] = (photo, "deleted")
                if photo is None:
                    del self.plain.files[path]

    @rule()
    def purge(self) -> None:
        plain = self.plain
        gone = self.catalog.analyses.purge(datetime.now(UTC) + timedelta(days=1))
        kept = plain.live() | {photo for photo, _, _ in plain.people}
        lost = plain.ids.keys() - kept
        assert sorted(gone) == self.sorted(lost)
        plain.files = {p: held for p, held in plain.files.items() if held[1] != "deleted"}
        plain.ids = {photo: one for photo, one in plain.ids.items() if photo in kept}
        plain.analysed = {one for one in plain.analysed if one[1] in kept}
        plain.figures = {key: v for key, v in plain.figures.items() if key[0] in kept}
        plain.unscored = {one for one in plain.unscored if one[2] in kept}

    @invariant()
    def photos_are_known_and_analysed(self) -> None:
        plain = self.plain
        assert self.catalog.photos.select(PhotoFilter()).tolist() == self.sorted(plain.live())
        for model in MODELS:
            done = {photo for one, photo in plain.analysed if one == model}
            assert self.catalog.analyses.photo_ids(model).tolist() == self.sorted(done)
            waiting = self.catalog.concepts.unscored(model)
            assert sum(map(len, waiting.values())) == sum(o[1] == model for o in plain.unscored)
        everyone = np.array([*plain.ids.values(), 99_999], dtype=np.int64)
        assert sorted(self.catalog.photos.newest(everyone)) == sorted(plain.ids.values())

    @invariant()
    def photos_show_the_same_tags(self) -> None:
        plain, catalog = self.plain, self.catalog
        every = sorted(plain.ids, key=plain.ids.__getitem__)
        ids = [plain.ids[photo] for photo in every]
        live = plain.live()
        of = catalog.tags.of(ids)
        shown: dict[str, int] = {}
        for name in sorted({*TAGS, *CONCEPTS, *WORDS}):
            expected = [photo for photo in every if plain.shows(photo, name)]
            for photo in every:
                names = [tag.name for tag in of[plain.ids[photo]]]
                assert (name in names) is (photo in expected)
            if live & set(expected):
                shown[name] = len(live & set(expected))
            found = catalog.tags.find(name)
            if not found:
                assert expected == []
                continue
            (tag,) = found
            assert self.select(all_of=((tag.id,),)) == self.sorted(live & set(expected))
            assert self.select(none_of=(tag.id,)) == self.sorted(live - set(expected))
            probable = [photo for photo in every if plain.shows(photo, name, 0.6)]
            assert self.select(all_of=((tag.id,),), min_probability=0.6) == self.sorted(
                live & set(probable)
            )
            assert np.allclose(
                catalog.photos.probability(ids, [tag.id])[:, 0],
                [plain.probability(photo, name) for photo in every],
            )
        assert {count.tag.name: count.photos for count in catalog.tags.counts()} == shown

    @invariant()
    def concepts_count_their_own_verdicts(self) -> None:
        plain = self.plain
        for record in self.catalog.concepts.all():
            name = record.concept.name
            matched = {
                photo
                for photo in plain.live()
                if plain.people.get((photo, name, Source.USER)) != 0
                and any(
                    source is Source.CONCEPT and value >= plain.concepts[name][1]
                    for (source, _), value in plain.counting(photo, name).items()
                )
            }
            assert record.matched == len(matched)

    def sorted(self, photos: set[int]) -> list[int]:
        return sorted(self.plain.ids[photo] for photo in photos)

    def select(self, **wanted: object) -> list[int]:
        return self.catalog.photos.select(PhotoFilter(**wanted)).tolist()  # type: ignore[arg-type]


TestLibraryLikeAPlainOne = LibraryLikeAPlainOne.TestCase
TestLibraryLikeAPlainOne.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
