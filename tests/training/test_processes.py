"""Two processes that train together take the same steps as one, on the same global batch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from running import losses, run_here, start, written
from safetensors.torch import load_file
from small_run import SmallSet

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def trained_by_two(small_set: SmallSet, tmp_path: Path, **sections: dict[str, object]) -> Path:
    recipe = written(small_set.evaluated(small_set.recipe(**sections)), tmp_path / "small.json")
    out = tmp_path / "two"
    process = start("-m", "ram_tagger", "train", recipe, "--out", out, program=TORCHRUN)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    heading = 1
    assert len(stdout.splitlines()) - heading == len((out / "metrics.jsonl").open().readlines())
    assert stderr.count(f"{out}/model") == 1  # one process speaks
    assert "ended after" not in stderr
    return out


@pytest.mark.parametrize(
    "loss",
    [{"spare_holding": True}, {"spare_holding": False, "unit_target": False}],
    ids=["sketch's losses", "the published losses"],
)
def test_two_processes_equal_one(small_set: SmallSet, tmp_path: Path, loss: dict[str, object]):
    sections = {"network": {"dropout": 0.0}, "loss": loss, "schedule": {"at_once": 3}}
    run_here(small_set.evaluated(small_set.recipe(**sections)), tmp_path / "one")
    two = trained_by_two(small_set, tmp_path, **sections)

    alone, together = losses(tmp_path / "one"), losses(two)
    assert len(alone) == 6
    for step, row in alone.items():
        for name, value in row.items():
            assert together[step][name] == pytest.approx(value, rel=2e-3), (step, name)
    ours = load_file(tmp_path / "one" / "model" / "model.safetensors")
    theirs = load_file(two / "model" / "model.safetensors")
    for name, value in ours.items():
        assert (value.float() - theirs[name].float()).abs().max() < 5e-3, name


def test_what_either_process_skipped_is_counted_once(small_set: SmallSet, tmp_path: Path):
    entries = json.loads(small_set.annotations[0].read_text())
    for number, entry in enumerate(entries):
        if number % 2:
            entry["image_path"] = f"gone-{number}.png"
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(entries))
    out = trained_by_two(small_set, tmp_path, data={"annotations": [str(bad)]})
    gone = {entry["image_path"] for entry in entries if "gone" in entry["image_path"]}
    told = {
        json.loads(line.split("\t")[0]) for line in (out / "skipped.tsv").read_text().splitlines()
    }
    assert told == gone
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    assert [row["skipped"] for row in rows if "loss" in row][-1] == len(gone)


def test_a_step_that_cannot_be_shared_is_refused(small_set: SmallSet, tmp_path: Path):
    recipe = written(small_set.recipe(schedule={"pictures": 7}), tmp_path / "small.json")
    process = start(
        "-m", "ram_tagger", "train", recipe, "--out", tmp_path / "run", program=TORCHRUN
    )
    _, stderr = process.communicate()
    assert process.returncode != 0
    assert stderr.count("ram-tagger: ") == 1
    assert "7 cannot be shared by 2 processes" in stderr


def test_a_run_of_another_recipe_is_refused_in_one_line(small_set: SmallSet, tmp_path: Path):
    run_here(small_set.recipe(), tmp_path / "run", until=1)
    recipe = written(small_set.recipe(schedule={"rate": 3e-3}), tmp_path / "other.json")
    process = start(
        "-m", "ram_tagger", "train", recipe, "--out", tmp_path / "run", program=TORCHRUN
    )
    _, stderr = process.communicate()
    assert process.returncode != 0
    assert stderr.count("ram-tagger: ") == 1
    assert "schedule.rate" in stderr
    assert "Connection closed" not in stderr
