"""The index file is a cache: whatever becomes of it, searches see what the catalog holds."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import NewAnalysis
from photoindex.photo import FileStamp, FoundFile, PhotoFacts
from photoindex.tagger import Analysis, StoredPhoto
from photoindex.vectors.base import VectorIndex
from photoindex.vectors.cache import BUILDING, VectorCache
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.growth import AnyIndex, Growth
from photoindex.vectors.inverted import TRAINING, InvertedIndex

MODEL = "clip/some:model"
WIDTH = 16
SMALL = Growth(flat=1000)
LARGE = Growth(flat=100, sample_a_list=8)  # 300 photos are many


def photo(number: int, seed: int = 0) -> NewAnalysis:
    embedding = np.random.default_rng([number, seed]).standard_normal(WIDTH).astype(np.float32)
    return NewAnalysis(
        PhotoFacts(f"hash {number}", 1, 1, 1, "PNG"),
        (FoundFile(Path(f"/photos/{number}"), FileStamp(1, 1, number, 1)),),
        Analysis((), StoredPhoto(embedding / np.linalg.norm(embedding), None)),
    )


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "library" / "catalog.db") as opened:
        opened.models.register(MODEL, "clip", WIDTH, ())
        opened.analyses.record([photo(number) for number in range(300)], MODEL)
        yield opened


@pytest.fixture(params=[SMALL, LARGE], ids=["flat", "inverted"])
def cache(request: pytest.FixtureRequest, catalog: Catalog) -> VectorCache:
    return VectorCache(catalog.path.parent, catalog.analyses, growth=request.param)


@pytest.fixture
def built(cache: VectorCache) -> list[int]:
    """How far each rebuilding went: empty as long as the file served."""
    cache.open(MODEL)
    return []


def assert_true(index: VectorIndex, catalog: Catalog) -> None:
    truth = {
        int(photo_id): embedding
        for block in catalog.analyses.embeddings(MODEL)
        for photo_id, embedding in zip(block.ids, block.embeddings, strict=True)
    }
    assert sorted(index.ids().tolist()) == sorted(truth)
    for photo_id, embedding in truth.items():
        assert np.array_equal(index.embeddings([photo_id])[0], embedding)
    similarities, found = index.search(np.stack(list(truth.values())), 1)
    assert found[:, 0].tolist() == list(truth)
    assert np.allclose(similarities, 1, atol=0.1)  # estimates, if it is large


def reopen(cache: VectorCache, built: list[int]) -> AnyIndex:
    def note(what: str, done: int, _total: int | None) -> None:
        if what == BUILDING:
            built.append(done)

    return cache.open(MODEL, note)


def record(catalog: Catalog, first: int, end: int) -> None:
    catalog.analyses.record([photo(number) for number in range(first, end)], MODEL)


def test_it_is_built_from_the_catalog_with_progress(cache: VectorCache, catalog: Catalog) -> None:
    seen: list[tuple[int, int | None]] = []
    index = cache.open(MODEL, lambda _what, done, total: seen.append((done, total)))
    assert_true(index, catalog)
    assert seen[-1] == (300, 300)
    assert index.kind == json.loads(cache.path(MODEL).with_suffix(".json").read_text())["kind"]
    modes = {stat.S_IMODE(file.stat().st_mode) for file in catalog.path.parent.glob("vectors-*")}
    assert modes == {0o600}


def test_a_whole_file_is_used(cache: VectorCache, catalog: Catalog, built: list[int]) -> None:
    assert_true(reopen(cache, built), catalog)
    assert built == []


def test_additions_are_caught_up(cache: VectorCache, catalog: Catalog, built: list[int]) -> None:
    catalog.analyses.record([photo(number) for number in range(300, 310)], MODEL)
    assert_true(reopen(cache, built), catalog)
    before = cache.path(MODEL).stat().st_mtime_ns
    assert_true(reopen(cache, built), catalog)
    assert built == [] and cache.path(MODEL).stat().st_mtime_ns == before


def test_a_trickle_does_not_rewrite_the_file(
    cache: VectorCache, catalog: Catalog, built: list[int]
) -> None:
    before = cache.path(MODEL).read_bytes()
    catalog.analyses.record([photo(300)], MODEL)
    assert_true(reopen(cache, built), catalog)
    assert cache.path(MODEL).read_bytes() == before and built == []


def test_removals_and_new_analyses_are_caught_up(
    cache: VectorCache, catalog: Catalog, built: list[int]
) -> None:
    catalog.analyses.record([photo(7, seed=1), photo(300), photo(301)], MODEL)
    catalog.files.mark_deleted([Path("/photos/5"), Path("/photos/300")])
    catalog.analyses.purge(datetime.now(UTC) + timedelta(days=1))
    assert_true(reopen(cache, built), catalog)
    assert built == []


def test_removing_what_the_index_ends_with_is_seen(
    cache: VectorCache, catalog: Catalog, built: list[int]
) -> None:
    catalog.files.mark_deleted([Path("/photos/299")])
    catalog.analyses.purge(datetime.now(UTC) + timedelta(days=1))
    assert_true(reopen(cache, built), catalog)
    catalog.analyses.record([photo(299, seed=4)], MODEL)
    assert_true(reopen(cache, built), catalog)


def test_files_of_models_no_longer_used_are_deleted(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    VectorCache(folder, catalog.analyses).open(MODEL)
    assert len(list(folder.iterdir())) == 2
    (folder / "vectors-old-01234567.faiss").touch()
    (folder / "vectors-old-01234567.json").touch()
    (folder / "vectors.txt").touch()
    caches = VectorCache(folder, catalog.analyses, {MODEL})
    caches.path(MODEL).unlink()
    caches.open(MODEL)
    own = caches.path(MODEL)
    assert set(folder.iterdir()) == {own, own.with_suffix(".json"), folder / "vectors.txt"}


def delete_index(path: Path) -> None:
    path.unlink()


def delete_sidecar(path: Path) -> None:
    path.with_suffix(".json").unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_the_first_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 0x80
    path.write_bytes(content)


def spoil_the_sidecar(path: Path) -> None:
    path.with_suffix(".json").write_bytes(b"\xff{")


def halve_the_sidecar(path: Path) -> None:
    sidecar = path.with_suffix(".json")
    sidecar.write_text(sidecar.read_text()[:20])


def lie(field: str, value: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        sidecar = path.with_suffix(".json")
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {field: value}, indent=1))

    change.__name__ = f"lie about {field}"
    return change


def contents(path: Path) -> list[bytes | None]:
    both = (path, path.with_suffix(".json"))
    return [file.read_bytes() if file.exists() else None for file in both]


@pytest.mark.parametrize(
    "damage",
    [
        delete_index,
        delete_sidecar,
        truncate,
        empty,
        flip_a_byte,
        flip_the_first_byte,
        spoil_the_sidecar,
        halve_the_sidecar,
        lie("count", 299),
        lie("model_id", "other"),
        lie("kind", "other"),
        lie("kind", "flat"),
        lie("kind", "inverted"),
        lie("format", 99),
        lie("checksum", "no number"),
        lie("size", 0),
        lie("more", 1),
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_or_missing_file_is_built_again(
    cache: VectorCache,
    catalog: Catalog,
    built: list[int],
    damage: Callable[[Path], None],
) -> None:
    before = contents(cache.path(MODEL))
    damage(cache.path(MODEL))
    if contents(cache.path(MODEL)) == before:
        return  # it says so already
    assert_true(reopen(cache, built), catalog)
    assert built == [300]
    assert_true(reopen(cache, built), catalog)
    assert built == [300]  # mended: this time the file served


@pytest.mark.parametrize("part", range(16))
def test_a_byte_flipped_anywhere_is_found(
    cache: VectorCache, catalog: Catalog, built: list[int], part: int
) -> None:
    path = cache.path(MODEL)
    content = bytearray(path.read_bytes())
    place = len(content) * part // 16 + int(np.random.default_rng(part).integers(100))
    content[place % len(content)] ^= 1 << part % 8
    path.write_bytes(content)
    assert_true(reopen(cache, built), catalog)
    assert built[-1] == 300


@pytest.mark.parametrize("part", range(16))
def test_a_byte_flipped_in_the_sidecar_changes_no_answer(
    cache: VectorCache, catalog: Catalog, built: list[int], part: int
) -> None:
    sidecar = cache.path(MODEL).with_suffix(".json")
    content = bytearray(sidecar.read_bytes())
    content[len(content) * part // 16] ^= 1
    sidecar.write_bytes(content)
    assert_true(reopen(cache, built), catalog)


def test_a_crash_between_the_two_renames_is_found(
    cache: VectorCache, catalog: Catalog, built: list[int]
) -> None:
    sidecar = cache.path(MODEL).with_suffix(".json")
    old = sidecar.read_bytes()
    record(catalog, 300, 320)
    reopen(cache, built)
    assert built == [] and sidecar.read_bytes() != old
    sidecar.write_bytes(old)  # the new index is in place, its sidecar is not yet
    assert_true(reopen(cache, built), catalog)
    assert built[-1] == 320


def test_a_save_that_fails_leaves_the_old_pair(
    cache: VectorCache,
    catalog: Catalog,
    built: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(self: object, file: object) -> None:
        raise OSError("no space")

    before = contents(cache.path(MODEL))
    record(catalog, 300, 320)
    with monkeypatch.context() as patch:
        patch.setattr(FlatIndex, "save", full)
        patch.setattr(InvertedIndex, "save", full)
        assert_true(reopen(cache, built), catalog)
    assert contents(cache.path(MODEL)) == before
    assert_true(reopen(cache, built), catalog)
    assert built == []


def test_a_library_that_grows_gets_lists_when_it_is_brought_up_to_date(catalog: Catalog) -> None:
    cache = VectorCache(catalog.path.parent, catalog.analyses, growth=Growth(flat=400))
    assert cache.open(MODEL).lists == 0
    record(catalog, 300, 450)
    seen: list[str] = []
    index = cache.open(MODEL, lambda what, _done, _total: seen.append(what))
    assert index.lists > 0 and {TRAINING, BUILDING} <= set(seen)
    assert_true(index, catalog)
    seen.clear()
    assert cache.open(MODEL, lambda what, _done, _total: seen.append(what)).lists == index.lists
    assert seen == []


def test_lists_are_made_anew_when_there_are_four_times_as_many_photos(catalog: Catalog) -> None:
    cache = VectorCache(catalog.path.parent, catalog.analyses, growth=LARGE)
    lists = cache.open(MODEL).lists
    record(catalog, 300, 1100)
    assert cache.open(MODEL).lists == lists
    record(catalog, 1100, 1250)
    index = cache.open(MODEL)
    assert index.lists >= 2 * lists
    assert_true(index, catalog)


def test_a_few_photos_more_make_nothing_anew(catalog: Catalog) -> None:
    cache = VectorCache(catalog.path.parent, catalog.analyses, growth=Growth(flat=300))
    assert cache.open(MODEL).lists == 0
    record(catalog, 300, 302)
    assert cache.open(MODEL).lists == 0  # outgrown, but too little is new to write the file again


def test_a_restored_catalog_overrules_the_file(
    cache: VectorCache, catalog: Catalog, tmp_path: Path, built: list[int]
) -> None:
    """The same numbers of analyses, but of other photos."""
    with Catalog.open(tmp_path / "other" / "catalog.db") as other:
        other.models.register(MODEL, "clip", WIDTH, ())
        other.analyses.record([photo(number, seed=9) for number in range(300)], MODEL)
        elsewhere = VectorCache(catalog.path.parent, other.analyses)
        assert_true(reopen(elsewhere, built), other)
        assert built == [300]


def test_models_have_files_of_their_own(cache: VectorCache) -> None:
    names = {cache.path(model).name for model in ("a/b", "a:b", "a_b", "模型", "")}
    assert len(names) == 5 and all(name.isascii() for name in names)


def test_a_model_without_analyses_has_an_empty_index(cache: VectorCache) -> None:
    index = cache.open("unheard of")
    similarities, ids = index.search(np.ones((1, WIDTH), dtype=np.float32), 3)
    assert len(index) == 0 and ids.tolist() == [[-1, -1, -1]] and similarities.shape == (1, 3)
    assert not cache.path("unheard of").exists()


def test_a_file_that_cannot_be_written_does_not_stop_a_search(
    catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = VectorCache(tmp_path / "not there", catalog.analyses)
    assert_true(cache.open(MODEL), catalog)
    assert "cannot be saved" in caplog.text


def test_what_a_killed_process_left_is_cleared(cache: VectorCache, catalog: Catalog) -> None:
    left = catalog.path.parent / "vectors-x-y.aside"
    fresh = catalog.path.parent / "vectors-x-z.aside"
    for file in (left, fresh):
        file.write_bytes(b"half")
    long_ago = time.time() - 7 * 24 * 3600
    os.utime(left, (long_ago, long_ago))
    cache.open(MODEL)
    assert not left.exists() and fresh.exists()


def test_a_missing_file_is_nothing_to_warn_of(
    cache: VectorCache, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    cache.open(MODEL)
    cache.path(MODEL).unlink()
    assert_true(cache.open(MODEL), catalog)
    assert not caplog.records


def test_a_warning_names_its_file_once(
    cache: VectorCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.open(MODEL)
    cache.path(MODEL).unlink()
    cache.path(MODEL).mkdir()
    cache.open(MODEL)
    first = caplog.messages[0]
    assert first.endswith("building it again: Is a directory")
    assert first.count(str(cache.path(MODEL))) == 1
