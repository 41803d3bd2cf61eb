"""The folder of a run: whose it is, what it keeps, and what a kill leaves of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ram_tagger.errors import RecipeError
from ram_tagger.training.recipe import Recipe
from ram_tagger.training.run_folder import RunFolder
from ram_tagger.training.triplets import Skipped

TABLE: dict[str, Any] = {
    "name": "mine",
    "data": {"annotations": ["coco.json"], "images": "photos"},
    "schedule": {"steps": 10, "rate": 1e-4},
    "loss": {"tagging": 0.5},
}


def recipe(**sections: Any) -> Recipe:
    table = {**TABLE}
    for name, entries in sections.items():
        own = table.get(name, {})
        table[name] = {**own, **entries} if isinstance(entries, dict) else entries
    return Recipe.from_json(table, "mine")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "mine")


@pytest.fixture
def begun(folder: RunFolder) -> RunFolder:
    folder.begin(recipe())
    return folder


# Whose folder it is


def test_a_run_keeps_its_recipe(begun):
    kept = json.loads((begun.path / "recipe.json").read_text(encoding="utf-8"))
    assert Recipe.from_json(kept, "kept") == recipe()
    assert [path.name for path in begun.path.iterdir()] == ["recipe.json"]


def test_an_empty_folder_is_taken(folder):
    folder.path.mkdir(parents=True)
    folder.begin(recipe())
    folder.begin(recipe())


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"name": "yours"}, "name"),
        ({"schedule": {"steps": 11}}, "schedule.steps"),
        ({"schedule": {"rate": 2e-4}, "loss": {"tagging": 1}}, "schedule.rate, loss.tagging"),
        ({"data": {"annotations": ["coco.json", "vg.json"]}}, "data.annotations"),
        ({"output": {"half": True}}, "output.half"),
        ({"evaluations": [{"name": "a", "tag_list": "b", "annotations": "c"}]}, "evaluations"),
    ],
)
def test_another_recipe_is_refused_and_the_differences_are_named(
    begun, sections: dict[str, Any], named: str
):
    with pytest.raises(RecipeError) as refusal:
        begun.begin(recipe(**sections))
    assert f"{begun.path} holds a run of another recipe ({named} differ)" in str(refusal.value)
    begun.begin(recipe())


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"workers": 9}},
        {"data": {"clip_cache": "cache"}},
        {"output": {"report_every": 1, "save_every": 7, "evaluate_every": 3, "keep": 9}},
        {"output": {"tensorboard": False}},
    ],
)
def test_what_changes_no_result_may_differ(begun, sections: dict[str, Any]):
    begun.begin(recipe(**sections))


def test_a_folder_with_other_things_is_refused_and_left_as_it_is(folder):
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(RecipeError, match="holds other things: name a new folder"):
        folder.begin(recipe())
    assert [path.name for path in folder.path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(folder):
    folder.path.parent.mkdir()
    folder.path.write_text("a file")
    with pytest.raises(RecipeError, match=f"cannot use {folder.path}: .*; name another folder"):
        folder.begin(recipe())
    assert folder.path.read_text() == "a file"


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_damaged_recipe_is_refused(begun, text: str):
    (begun.path / "recipe.json").write_text(text, encoding="latin-1")
    with pytest.raises(RecipeError, match=f"cannot use {begun.path}"):
        begun.begin(recipe())


# Checkpoints


def kept(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in (folder.path / "checkpoints").iterdir())


def test_before_the_first_checkpoint_there_is_none(begun):
    assert begun.newest() is None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_checkpoints_are_kept_and_nothing_else(begun, keep: int):
    steps = [50, 100, 5000, 123_456_789]
    for step in steps:
        begun.save(step, {"step": step, "weights": torch.full((3,), step)}, keep)
        newest = begun.newest()
        assert newest is not None and newest["step"] == step
        assert newest["weights"].tolist() == [step] * 3
    assert kept(begun) == [f"step-{step:08}.pt" for step in steps[-keep:]]


def test_the_checkpoint_just_written_is_kept_whatever_is_asked(begun):
    begun.save(1, {"step": 1}, 0)
    begun.save(2, {"step": 2}, 0)
    assert kept(begun) == ["step-00000002.pt"]


def test_a_checkpoint_that_was_cut_short_is_never_the_newest(begun):
    begun.save(100, {"step": 100}, 2)
    (begun.path / "checkpoints" / ".step-00000200.pt.part").write_bytes(b"half a checkpoint")
    newest = begun.newest()
    assert newest is not None and newest["step"] == 100
    begun.save(200, {"step": 200}, 2)
    assert kept(begun) == ["step-00000100.pt", "step-00000200.pt"]


# Metrics

ROWS = [
    {"step": 10, "loss": 3.25},
    {"step": 10, "evaluation": "common\u2028ones", "mAP": 0.5},
    {"step": 20, "loss": 1.5},
    {"step": 30, "loss": 0.1},
]


@pytest.fixture
def measured(begun: RunFolder) -> RunFolder:
    for row in ROWS:
        begun.measured(row)
    return begun


def test_metrics_come_back_row_by_row(measured):
    assert list(measured.metrics()) == ROWS


def test_before_the_first_row_there_is_none(begun):
    assert list(begun.metrics()) == []
    begun.forget_after(0)
    assert list(begun.metrics()) == []


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_row_that_was_cut_off_is_left_out(measured, cut: int):
    file = measured.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    assert list(measured.metrics()) == ROWS[:-1]
    measured.forget_after(30)
    measured.measured(ROWS[-1])
    assert list(measured.metrics()) == ROWS


@pytest.mark.parametrize(("step", "left"), [(5, 0), (10, 2), (19, 2), (20, 3), (99, 4)])
def test_steps_that_are_taken_again_are_forgotten(measured, step: int, left: int):
    measured.forget_after(step)
    assert list(measured.metrics()) == ROWS[:left]
    measured.measured({"step": 100})
    assert list(measured.metrics()) == [*ROWS[:left], {"step": 100}]
    assert not list(measured.path.glob(".*"))


# Skipped pictures

PATHS = ["a.jpg", "tab\there/b.jpg", "two\nlines.jpg", "caf\u00e9 \u2028.jpg", 'quo"te.jpg']


def test_skipped_pictures_are_kept_one_a_line_with_the_reason(begun):
    assert begun.skipped() == set()
    begun.skip([Skipped(path, "no picture: two\nlines\tand a tab") for path in PATHS[:2]])
    begun.skip([Skipped(path, "") for path in PATHS[2:]])
    assert begun.skipped() == set(PATHS)
    lines = (begun.path / "skipped.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(PATHS) and all(line.count("\t") == 1 for line in lines)


@pytest.mark.parametrize("cut", [1, 4, 12])
def test_a_skipped_picture_that_was_cut_off_is_noted_again(begun, cut: int):
    begun.skip([Skipped("a.jpg", "gone"), Skipped("b.jpg", "gone")])
    file = begun.path / "skipped.tsv"
    file.write_bytes(file.read_bytes()[:-cut])
    assert begun.skipped() == {"a.jpg"}
    begun.skip([Skipped("b.jpg", "gone")])
    assert begun.skipped() == {"a.jpg", "b.jpg"}


def test_the_model_and_the_board_go_into_the_folder(folder):
    assert replace(folder).model == folder.path / "model"
    assert folder.tensorboard == folder.path / "tensorboard"
