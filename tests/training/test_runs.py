"""A training run: what it writes and says, how it ends, and that it goes on where it was."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import losses, run_here, start, written
from safetensors.torch import load_file
from small_run import SmallSet

from ram_tagger.errors import RecipeError
from ram_tagger.predict import RamTagger
from ram_tagger.sources import BUNDLED


def test_a_run_leaves_metrics_and_a_model_that_tags(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.evaluated(small_set.recipe(output={"evaluate_every": 3}))
    heard = run_here(recipe, tmp_path / "run")

    figures = [row for row in heard.rows if "evaluation" in row]
    assert [row["step"] for row in figures] == [0, 3, 6]
    assert all(0 < row["mAP"] <= 1 for row in figures)
    steps = [row for row in heard.rows if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    for row in steps:
        assert row["loss"] == pytest.approx(row["tagging"] + row["distillation"] + row["alignment"])
        assert row["pictures_per_second"] > 0
    assert heard.rows == [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert heard.outcome is not None
    assert heard.outcome.figures == {"same scenes": figures[-1]["mAP"]}
    tagger = RamTagger.load(tmp_path / "run" / "model", "cpu", "fp32")
    assert tagger.config.name == "small"
    (prediction,) = tagger.predict([small_set.images / "scene-00.png"])
    assert tagger.tags(prediction)


def test_training_lowers_the_loss(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.recipe(
        schedule={"steps": 30, "rate": 2e-3, "pictures": 12, "at_once": 12},
        augmentation={"smallest_crop": 1.0, "operations": 0},
        output={"report_every": 10},
    )
    rows = run_here(recipe, tmp_path / "run").rows
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


def test_the_command_prints_rows_and_keeps_tensorboards_files(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.evaluated(small_set.recipe(output={"tensorboard": True}))
    path, out = written(recipe, tmp_path / "small.json"), tmp_path / "run"
    done = start("train", path, "--out", out, "--set", "schedule.steps=2")
    stdout, stderr = done.communicate()
    assert done.returncode == 0, stderr
    before, heading, *steps, after = stdout.splitlines()
    assert heading.split()[:3] == ["step", "loss", "tagging"]
    assert [line.split()[0] for line in steps] == ["1", "2"]
    assert len({len(line) for line in (heading, *steps)}) == 1  # aligned
    assert before.split()[:2] == ["0", "mAP"]
    assert after.split()[:2] == ["2", "mAP"]
    assert f"{out}/model" in stderr

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("training/tagging")] == [1, 2]
    assert [event.step for event in board.Scalars("mAP/same scenes")] == [0, 2]


@pytest.mark.parametrize("stopped", [1, 2, 5])
def test_a_run_that_was_ended_goes_on_exactly(small_set: SmallSet, tmp_path: Path, stopped: int):
    recipe = small_set.recipe(output={"report_every": 2, "save_every": 0})
    whole = run_here(recipe, tmp_path / "whole")
    ended = run_here(replace(recipe, output=replace(recipe.output, report_every=1)),
                     tmp_path / "ended", until=stopped)  # fmt: skip
    assert ended.outcome is not None
    assert ended.outcome.model is None
    assert ended.outcome.step == stopped
    # Reports again every second step, as the whole run: means go across the interruption.
    on = run_here(recipe, tmp_path / "ended")
    assert on.remarks == [f"going on after step {stopped}"]
    alone, both = losses(tmp_path / "whole"), losses(tmp_path / "ended")
    for step in alone:
        if step > stopped + 1:
            assert both[step] == alone[step]
    assert whole.outcome is not None
    assert on.outcome is not None
    assert on.outcome.model == whole.outcome.model  # the digest of all weights too


def test_a_run_killed_at_any_moment_loses_nothing(small_set: SmallSet, tmp_path: Path):
    recipe = written(small_set.recipe(schedule={"steps": 14}), tmp_path / "small.json")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start("train", recipe, "--out", undisturbed).wait() == 0
    chance = random.Random(5)
    for wanted in (2, 7, 11):
        process = start("train", recipe, "--out", killed)
        metrics = killed / "metrics.jsonl"
        while process.poll() is None:
            if metrics.exists() and len(metrics.read_text().splitlines()) >= wanted:
                break
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = start("train", recipe, "--out", killed)
    _, stderr = last.communicate()
    assert last.returncode == 0, stderr
    assert losses(killed) == losses(undisturbed)
    assert len(losses(killed)) == 14
    for name in ("config.json", "model.safetensors", "labels.safetensors"):
        assert (killed / "model" / name).read_bytes() == (undisturbed / "model" / name).read_bytes()


def test_a_signal_ends_a_run_well(small_set: SmallSet, tmp_path: Path):
    recipe = written(small_set.recipe(schedule={"steps": 5000}), tmp_path / "small.json")
    process = start("train", recipe, "--out", tmp_path / "run")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 143
    assert "the same command again goes on" in stderr
    assert list((tmp_path / "run" / "checkpoints").glob("step-*.pt"))


def test_a_finished_run_is_not_trained_again(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.recipe()
    first = run_here(recipe, tmp_path / "run")
    again = run_here(recipe, tmp_path / "run")
    assert again.remarks == [f"{tmp_path / 'run'} is finished already"]
    assert first.outcome is not None
    assert again.outcome is not None
    assert again.outcome.model == first.outcome.model
    assert again.rows == []


def test_another_recipe_cannot_go_on_with_a_run(small_set: SmallSet, tmp_path: Path):
    run_here(small_set.recipe(), tmp_path / "run", until=2)
    with pytest.raises(RecipeError, match=r"schedule\.rate"):
        run_here(small_set.recipe(schedule={"rate": 2e-3}), tmp_path / "run")


def test_pictures_that_cannot_be_read_are_counted_reported_and_skipped(
    small_set: SmallSet, tmp_path: Path
):
    entries = json.loads(small_set.annotations[0].read_text())
    entries += [{**entries[0], "image_path": name} for name in ("gone.png", "torn.png")]
    torn = small_set.images / "torn.png"
    torn.write_bytes((small_set.images / "scene-00.png").read_bytes()[:100])
    (tmp_path / "bad.json").write_text(json.dumps(entries))
    recipe = small_set.recipe(data={"annotations": [str(tmp_path / "bad.json")]})
    path, out = written(recipe, tmp_path / "small.json"), tmp_path / "run"
    process = start("train", path, "--out", out, "--json")
    stdout, stderr = process.communicate()
    torn.unlink()
    assert process.returncode == 0, stderr
    assert json.loads(stdout.splitlines()[-1])["skipped"] == 2
    assert "2 pictures could not be read" in stderr
    rows = [line.split("\t") for line in (out / "skipped.tsv").read_text().splitlines()]
    assert {json.loads(name) for name, _ in rows} == {"gone.png", "torn.png"}
    assert all(json.loads(reason) for _, reason in rows)


def test_a_folder_without_the_pictures_is_named(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.recipe(data={"images": str(tmp_path)})
    with pytest.raises(RecipeError, match="is the images folder right"):
        run_here(recipe, tmp_path / "run")


def test_a_clip_cache_changes_nothing(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.recipe()
    cached = replace(recipe, data=replace(recipe.data, clip_cache=tmp_path / "cache"))
    with pytest.raises(RecipeError, match="--cache-clip"):
        run_here(cached, tmp_path / "too-early")
    run_here(recipe, tmp_path / "plain")
    run_here(cached, tmp_path / "cached", fill=True)
    plain, from_cache = losses(tmp_path / "plain"), losses(tmp_path / "cached")
    for step, row in plain.items():
        for name, value in row.items():
            assert from_cache[step][name] == pytest.approx(value, rel=1e-3), (step, name)


def test_a_step_in_pieces_is_the_same_step(small_set: SmallSet, tmp_path: Path):
    """Alignment sees the whole step, whatever goes through the network at once."""
    recipe = small_set.recipe(network={"dropout": 0.0})
    run_here(recipe, tmp_path / "whole")
    pieces = small_set.recipe(network={"dropout": 0.0}, schedule={"at_once": 3})
    run_here(pieces, tmp_path / "pieces")
    whole, in_pieces = losses(tmp_path / "whole"), losses(tmp_path / "pieces")
    for step, row in whole.items():
        for name, value in row.items():
            assert in_pieces[step][name] == pytest.approx(value, rel=1e-3), (step, name)


@pytest.mark.parametrize("left_out", ["tagging", "distillation", "alignment"])
def test_a_loss_of_weight_0_is_left_out(small_set: SmallSet, tmp_path: Path, left_out: str):
    recipe = small_set.recipe(loss={left_out: 0.0}, schedule={"steps": 1})
    (row,) = run_here(recipe, tmp_path / "run").rows
    assert {"tagging", "distillation", "alignment"} - set(row) == {left_out}


def embeddings(folder: Path) -> torch.Tensor:
    return load_file(folder / "labels.safetensors")["embeddings"].float()


def test_label_embeddings_move_only_when_asked(small_set: SmallSet, tmp_path: Path):
    run_here(small_set.recipe(), tmp_path / "frozen")
    assert torch.equal(embeddings(tmp_path / "frozen" / "model"), embeddings(BUNDLED))
    run_here(small_set.recipe(labels={"trained": True}), tmp_path / "moved")
    assert not torch.equal(embeddings(tmp_path / "moved" / "model"), embeddings(BUNDLED))
    run_here(small_set.recipe(labels={"descriptions": 1}), tmp_path / "one")
    assert len(embeddings(tmp_path / "one" / "model")) == len(RamTagger.load(BUNDLED, "cpu").labels)


def test_a_frozen_encoder_gives_the_tokens_that_it_gave(small_set: SmallSet, tmp_path: Path):
    picture = Image.open(small_set.images / "scene-03.png")
    (before,) = RamTagger.load(BUNDLED, "cpu").predict([picture])
    run_here(small_set.recipe(schedule={"freeze_encoder": True}), tmp_path / "run")
    (after,) = RamTagger.load(tmp_path / "run" / "model", "cpu").predict([picture])
    assert np.array_equal(before.tokens, after.tokens)
    assert not np.allclose(before.probabilities, after.probabilities)


def test_thresholds_are_chosen_on_the_named_benchmark(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.evaluated(small_set.recipe(output={"thresholds_from": "same scenes"}))
    run_here(recipe, tmp_path / "run")
    before = RamTagger.load(BUNDLED, "cpu").labels
    after = RamTagger.load(tmp_path / "run" / "model", "cpu").labels
    shown = {tag for line in small_set.annots.read_text().splitlines() for tag in line.split(",")}
    for name, old, new in zip(before.names, before.thresholds, after.thresholds, strict=True):
        assert 0.2 <= new <= 0.95
        if name not in shown:
            assert new == old
    assert before.thresholds != after.thresholds


def test_a_wrong_evaluation_ends_a_run_before_its_first_step(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.evaluated(small_set.recipe(output={"evaluate_every": 3}))
    (evaluation,) = recipe.evaluations
    unknown = tmp_path / "taglist.txt"
    unknown.write_text(small_set.tag_list.read_text() + "unheard-of\n")
    for change, message in (
        ({"tag_list": unknown}, "unheard-of"),
        ({"images": tmp_path}, "none of its pictures is there"),
    ):
        wrong = replace(recipe, evaluations=(replace(evaluation, **change),))
        with pytest.raises(RecipeError, match=message):
            run_here(wrong, tmp_path / f"run-{next(iter(change))}")


def test_an_evaluation_that_a_kill_prevented_is_made_up_for(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.evaluated(small_set.recipe(output={"evaluate_every": 3}))
    run_here(recipe, tmp_path / "run", until=3)  # asked to stop just before the evaluation
    run_here(recipe, tmp_path / "run")
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows if "evaluation" in row] == [0, 3, 6]


def test_a_model_that_was_removed_is_written_again(small_set: SmallSet, tmp_path: Path):
    recipe = small_set.evaluated(small_set.recipe(output={"thresholds_from": "same scenes"}))
    first = run_here(recipe, tmp_path / "run").outcome
    shutil.rmtree(tmp_path / "run" / "model")
    again = run_here(recipe, tmp_path / "run").outcome
    assert first is not None
    assert again is not None
    assert again.finished
    assert again.model == first.model
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows if "evaluation" in row] == [0, 6]


def test_bf16_takes_nearly_the_same_steps(small_set: SmallSet, tmp_path: Path):
    full = run_here(small_set.recipe(), tmp_path / "full").rows
    half = run_here(small_set.recipe(schedule={"precision": "bf16"}), tmp_path / "half").rows
    for one, other in zip(full, half, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=0.1)
    assert [row["loss"] for row in full] != [row["loss"] for row in half]


def test_the_cache_alone_is_filled_by_the_command(small_set: SmallSet, tmp_path: Path):
    path, out = written(small_set.recipe(), tmp_path / "small.json"), tmp_path / "run"
    process = start("train", path, "--out", out, "--cache-only")
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert (tmp_path / "run-clip-cache" / "pictures.npy").is_file()
    assert not out.exists()
    process = start("train", path, "--out", out, "--cache-clip")
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert (out / "model" / "config.json").is_file()
