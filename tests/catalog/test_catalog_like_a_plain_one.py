"""Whatever happens to a library, it answers as a few dictionaries would that are looked through.

The catalog keeps tags, analysed photos and their times by the chunk, changed in place. Here the
same is kept as plainly as can be and every question is answered by looking at every photo.
"""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from plain_library import PlainLibrary, path_of
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

numbers = st.integers(0, 7)
probabilities = st.sampled_from([0.0, 0.03, 0.05, 0.25, 0.6, 0.7, 0.9, 1.0])
thresholds = st.sampled_from([0.05, 0.25, 0.6, 0.7, 0.9])
sets_of_photos = st.sets(numbers, max_size=5)


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


class LibraryLikeAPlainOne(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        path = self.folder / "library.db"
        path.write_bytes(empty_library())
        self.catalog = Catalog.open(path)
        self.plain = PlainLibrary()
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
            plain.record(model, photo, with_file, tags, said)

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
        plain.add_concept(name, description, threshold, model, said)

    @rule(name=st.sampled_from(CONCEPTS))
    def remove_concept(self, name: str) -> None:
        assert self.catalog.concepts.remove(name) is (name in self.plain.concepts)
        self.plain.remove_concept(name)

    @rule(name=st.sampled_from(CONCEPTS), threshold=thresholds)
    def move_a_concepts_threshold(self, name: str, threshold: float) -> None:
        assert self.catalog.concepts.set_threshold(name, threshold) is (name in self.plain.concepts)
        self.plain.move_threshold(name, threshold)

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
            plain.score_what_waits(record.concept.name, model, asked, value)

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
            plain.untag(photo, name)

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
        self.plain.delete(paths)

    @rule(photos=sets_of_photos)
    def files_come_back(self, photos: set[int]) -> None:
        self.catalog.files.restamp([found(path_of(photo)) for photo in photos])
        self.plain.come_back(map(path_of, photos))

    @rule(one=numbers, other=numbers)
    def move_a_file(self, one: int, other: int) -> None:
        self.catalog.files.move([FileMove(path_of(one), found(path_of(other, copy=True)))])
        self.plain.move(path_of(one), path_of(other, copy=True))

    @rule(number=numbers)
    def fail_to_read_a_file(self, number: int) -> None:
        self.catalog.files.fail([FileFailure(found(path_of(number)), "truncated")])
        self.plain.files[path_of(number)] = (None, "present")

    @rule(online=st.booleans(), folder=st.sampled_from(["/p", "/p/odd"]))
    def mount_or_unmount(self, online: bool, folder: str) -> None:
        self.catalog.folders.set_online(Path(folder), online)
        self.plain.mount(Path(folder), online)

    @rule(both=st.booleans())
    def forget_a_folder(self, both: bool) -> None:
        every, odd = Path("/p"), Path("/p/odd")
        self.catalog.folders.remember(every)
        if both:
            self.catalog.folders.remember(odd)
        self.catalog.folders.forget(every)
        self.catalog.folders.set_online(odd, True)
        watched = {path for path in self.plain.files if both and odd in path.parents}
        self.plain.delete(self.plain.files.keys() - watched)
        self.plain.mount(odd, True)
        self.catalog.folders.forget(odd)
        self.plain.delete(watched)

    @rule()
    def purge(self) -> None:
        ids = dict(self.plain.ids)
        gone = self.catalog.analyses.purge(datetime.now(UTC) + timedelta(days=1))
        assert sorted(gone) == sorted(ids[photo] for photo in self.plain.purge())

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
