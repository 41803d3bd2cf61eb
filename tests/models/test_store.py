"""The models folder: complete models by name, and nothing half-done."""

import os
import shutil
import time
from pathlib import Path

import pytest

from photoindex.errors import ModelError
from photoindex.models.store import ModelStore


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def put_model(folder: Path, text: str = "{}") -> None:
    (folder / "config.json").write_text(text)
    (folder / "weights").write_bytes(b"w" * 10)


def install(store: ModelStore, name: str, text: str = "{}") -> None:
    with store.building(name) as folder:
        put_model(folder, text)


def left_over(store: ModelStore) -> list[str]:
    return [path.name for path in store.folder.iterdir() if path.name.startswith(".")]


def test_an_empty_store(store: ModelStore) -> None:
    assert store.names() == ()
    assert store.path_of("sketch") == store.folder / "sketch"


def test_models_appear_when_they_are_complete(store: ModelStore) -> None:
    with store.building("one") as folder:
        put_model(folder)
        assert store.names() == ()
    install(store, "another.v2")
    assert store.names() == ("another.v2", "one")
    assert (store.path_of("one") / "weights").read_bytes() == b"w" * 10
    assert left_over(store) == []


def test_downloads_and_stray_files_are_no_models(store: ModelStore) -> None:
    install(store, "one")
    (store.folder / "downloads/two").mkdir(parents=True)
    (store.folder / "notes.json").write_text("{}")
    assert store.names() == ("one",)


def test_a_failed_build_leaves_the_old_model(store: ModelStore) -> None:
    install(store, "one", "old")
    with pytest.raises(RuntimeError), store.building("one") as folder:
        put_model(folder, "new")
        raise RuntimeError
    assert (store.path_of("one") / "config.json").read_text() == "old"
    assert left_over(store) == []


def test_a_model_that_cannot_take_its_place_leaves_the_old_one(store: ModelStore) -> None:
    install(store, "one", "old")
    with pytest.raises(ModelError, match="cannot write"), store.building("one") as folder:
        put_model(folder, "new")
        shutil.rmtree(folder)  # somebody else's doing
    assert (store.path_of("one") / "config.json").read_text() == "old"
    assert left_over(store) == []


def test_a_model_of_the_same_name_is_replaced(store: ModelStore) -> None:
    install(store, "one", "old")
    install(store, "one", "new")
    assert (store.path_of("one") / "config.json").read_text() == "new"
    assert left_over(store) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a\0", "-x", ".x", "猫", "a b"]
)
def test_no_name_leads_elsewhere(store: ModelStore, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be a model's name"):
        store.path_of(name)
    with pytest.raises(ModelError, match="cannot be a model's name"), store.building(name):
        pass


def test_copying_takes_sub_folders_along(store: ModelStore, tmp_path: Path) -> None:
    source = tmp_path / "finished"
    (source / "extra").mkdir(parents=True)
    put_model(source)
    (source / "extra/list.txt").write_text("cat")
    with store.building("one") as folder:
        store.copy(source, folder)
    assert (store.path_of("one") / "extra/list.txt").read_text() == "cat"
    with pytest.raises(ModelError, match="cannot copy"), store.building("two") as folder:
        store.copy(tmp_path / "absent", folder)
    assert store.names() == ("one",)


def test_a_link_out_of_a_model_folder_is_not_followed(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("private")
    source = tmp_path / "finished"
    source.mkdir()
    put_model(source)
    (source / "alias.json").symlink_to("config.json")
    with store.building("one") as folder:
        store.copy(source, folder)
    for target in ("../secret/key", tmp_path / "secret", "../secret"):
        (source / "extra").symlink_to(target)
        with pytest.raises(ModelError, match="leads out of"), store.building("two") as folder:
            store.copy(source, folder)
        (source / "extra").unlink()
    assert store.names() == ("one",)


@pytest.mark.parametrize("target", [".", "extra", "../finished", "loop", "absent"])
def test_links_in_a_circle_are_refused_before_anything_is_copied(
    store: ModelStore, tmp_path: Path, target: str
) -> None:
    source = tmp_path / "finished"
    (source / "extra").mkdir(parents=True)
    put_model(source)
    (source / "loop").symlink_to(target)
    with pytest.raises(ModelError, match=r"loop|cannot copy"), store.building("one") as folder:
        try:
            store.copy(source, folder)
        finally:
            assert sum(path.is_file() for path in folder.rglob("*")) <= 2
    assert store.names() == ()
    assert left_over(store) == []


def test_only_what_is_inside_is_discarded(store: ModelStore, tmp_path: Path) -> None:
    inside, outside = store.folder / "downloads/one", tmp_path / "precious"
    inside.mkdir(parents=True)
    outside.mkdir()
    (store.folder / "link").symlink_to(outside)
    store.discard(inside)
    store.discard(inside)
    assert not inside.exists()
    for folder in (outside, store.folder, store.folder / "..", store.folder / "link"):
        with pytest.raises(ModelError):
            store.discard(folder)
    assert outside.is_dir()


def test_what_a_killed_run_left_is_cleared_away_in_time(store: ModelStore) -> None:
    old, recent = store.folder / ".partial-one-aaaa", store.folder / ".partial-two-bbbb"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    install(store, "one")
    assert not old.exists()
    assert recent.exists()
    assert store.names() == ("one",)


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = ModelStore(tmp_path / "file")
    assert store.names() == ()
    with pytest.raises(ModelError, match="PHOTOINDEX_MODELS"), store.building("one"):
        pass
