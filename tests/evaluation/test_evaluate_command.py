"""`ram-tagger evaluate` and `set-thresholds` as a user types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from written import SCENES, write_lines

from ram_tagger.cli.app import main
from ram_tagger.evaluation.plot import MEAN, OVERALL
from ram_tagger.evaluation.scores import Scores
from ram_tagger.model_folder import load_labels
from ram_tagger.sources import BUNDLED


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def ram_tagger(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command's own door in this process."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["ram-tagger", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def scores_file(common: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scores of the closed set, as a first run keeps them."""
    path = tmp_path_factory.mktemp("scores") / "common.npz"
    arguments = [sys.executable, "-c", "from ram_tagger.cli.app import main; main()"]
    subprocess.run(
        [*arguments, "evaluate", common, "--scores", path, "--device", "cpu"],
        check=True,
        capture_output=True,
    )
    return path


def document(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(done: Done, code: int, message: str) -> None:
    """Nothing on stdout, one message on stderr, no traceback."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


# Figures


def test_a_closed_set_at_the_models_thresholds(
    ram_tagger: Command, common: Path, scores_file: Path
):
    table = document(ram_tagger("evaluate", common, "--scores", scores_file, "--json"))
    assert (table["pictures"], table["unreadable"], table["open_set"]) == (SCENES, [], False)
    assert table["benchmark"] == "scenes_common"
    averages = [tag["average_precision"] for tag in table["tags"] if tag["true"]]
    assert np.mean(averages) > 0.95
    cat = next(tag for tag in table["tags"] if tag["tag"] == "cat")  # twice in the list
    assert len(cat["average_precisions"]) == 2
    assert table["mean_average_precision"] == pytest.approx(
        (sum(averages) + cat["average_precision"]) / 134
    )
    assert min(table["overall"].values()) > 0.9
    labels = load_labels(BUNDLED)
    limits = dict(zip(labels.names, labels.thresholds, strict=True))
    assert {tag["tag"]: tag["threshold"] for tag in table["tags"]} == limits
    assert table["tuned"] is None


def test_an_open_set_from_the_folders_descriptions(ram_tagger: Command, rare: Path):
    table = document(ram_tagger("evaluate", rare, "--open-set", "--json"))
    assert table["open_set"] is True
    shown = [tag for tag in table["tags"] if tag["true"]]
    assert len(table["tags"]) == 16 and len(shown) > 8
    assert np.mean([tag["average_precision"] for tag in shown]) > 0.8
    assert {tag["threshold"] for tag in table["tags"]} == {0.5}

    by_clip = document(ram_tagger("evaluate", rare, "--open-set", "--by", "clip", "--json"))
    assert by_clip["mean_average_precision"] < table["mean_average_precision"] - 0.1
    assert (by_clip["mean"], by_clip["overall"]) == (None, None)
    cut = ram_tagger("evaluate", rare, "--open-set", "--by", "clip", "--threshold", "0.2", "--json")
    assert document(cut)["tags"][0]["threshold"] == 0.2
    assert document(cut)["mean"]["recall"] > 0


def test_files_are_named_one_by_one_as_well(ram_tagger: Command, rare: Path):
    folder = document(ram_tagger("evaluate", rare, "--open-set", "--json"))
    named = ram_tagger(
        "evaluate", "--tag-list", rare / "scenes_rare_ram_taglist.txt",
        "--annotations", rare / "scenes_rare_ram_annots.txt", "--images", rare / "imgs",
        "--descriptions", rare / "scenes_rare_llm_tag_descriptions.json", "--json",
    )  # fmt: skip
    assert document(named) == folder


def test_the_table_shows_the_weakest_tags_or_all(ram_tagger: Command, scores_file: Path):
    done = ram_tagger("evaluate", "--scores", scores_file)
    assert (done.returncode, done.stderr) == (0, "")
    head, weakest = done.stdout.split("\nweakest tags\n")
    assert head.startswith(f"scenes_common, closed set: {SCENES} pictures, 133 tags, sketch-")
    assert "mAP 0." in head and "mean over tags" in head and "overall" in head
    assert len(weakest.splitlines()) == 11
    assert weakest.split()[:7] == "AP true given precision recall F1 threshold".split()
    every = ram_tagger("evaluate", "--scores", scores_file, "--per-tag").stdout
    assert len(every.split("\nall tags\n")[1].splitlines()) == 134


def test_pictures_that_cannot_be_read_are_told_and_left_out(
    ram_tagger: Command, common: Path, tmp_path: Path
):
    copy = Path(shutil.copytree(common, tmp_path / "scenes_common"))
    (copy / "imgs" / "test" / "0003.png").write_bytes(b"no picture")
    (copy / "imgs" / "test" / "0007.png").unlink()
    done = ram_tagger("evaluate", copy, "--json")
    assert f"2 of {SCENES} pictures cannot be read and are left out: test/0003, test/0007" in (
        done.stderr
    )
    table = document(done)
    assert (table["pictures"], table["unreadable"]) == (SCENES - 2, ["test/0003", "test/0007"])
    wrong = ram_tagger("evaluate", copy, "--images", tmp_path)
    refused(wrong, 3, f"none of {SCENES} pictures can be read")
    assert "is --images right?" in wrong.stderr


# Kept scores


def test_kept_scores_need_neither_pictures_nor_torch(scores_file: Path, tmp_path: Path):
    script = (
        "import sys; from ram_tagger.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as leaving: assert not leaving.code, leaving\n"
        "heavy = {'torch', 'timm', 'open_clip', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    tuned = tmp_path / "tuned.txt"
    done = subprocess.run(
        [sys.executable, "-c", script, "evaluate", "--scores", scores_file, "--model-dir", BUNDLED,
         "--tune-thresholds", tuned, "--plot", tmp_path / "plot.png", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == SCENES
    assert tuned.exists()


def test_tuned_thresholds_are_at_least_as_good_and_can_be_used(
    ram_tagger: Command, scores_file: Path, model_folder: Path, tmp_path: Path
):
    file = tmp_path / "tuned.txt"
    start = ("evaluate", "--scores", scores_file, "--json")
    table = document(ram_tagger(*start, "--tune-thresholds", file))
    for old, new in zip(table["tags"], table["tuned"]["tags"], strict=True):
        assert new["f1"] >= old["f1"]
    assert table["tuned"]["mean"]["f1"] > table["mean"]["f1"]

    used = document(ram_tagger(*start, "--thresholds", file))
    assert used["tags"] == table["tuned"]["tags"]
    again = ram_tagger(*start, "--tune-thresholds", file)
    refused(again, 2, "is there already: name a new file")

    done = ram_tagger("set-thresholds", model_folder, file)
    changed = {t["tag"] for t in used["tags"]} - {
        old["tag"]
        for old, new in zip(table["tags"], used["tags"], strict=True)
        if old["threshold"] == new["threshold"]
    }
    assert done.stdout == f"{model_folder}: {len(changed)} thresholds changed\n"
    limits = {tag["tag"]: tag["threshold"] for tag in used["tags"]}
    labels = load_labels(model_folder)
    assert dict(zip(labels.names, labels.thresholds, strict=True)) == limits
    assert document(ram_tagger("set-thresholds", model_folder, file, "--json"))["changed"] == []


def test_one_threshold_for_all_tags(ram_tagger: Command, scores_file: Path):
    table = document(ram_tagger("evaluate", "--scores", scores_file, "--threshold", "0", "--json"))
    assert all(tag["given"] == SCENES for tag in table["tags"])
    assert table["mean"]["recall"] == np.mean([tag["true"] > 0 for tag in table["tags"]])


def test_scores_of_something_else_are_refused(
    ram_tagger: Command, scores_file: Path, rare: Path, tmp_path: Path
):
    start = ("evaluate", "--scores", scores_file)
    refused(ram_tagger(*start, rare, "--open-set"), 3, "holds scores of another tag list")
    refused(ram_tagger(*start, "--by", "clip"), 3, "holds scores by decoder")
    refused(ram_tagger(*start, "--model-dir", tmp_path), 3, "is no model folder")
    config = json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config | {"digest": "0"}), encoding="utf-8")
    refused(ram_tagger(*start, "--model-dir", other), 3, "holds scores of sketch-")
    refused(ram_tagger("evaluate", "--scores", tmp_path / "x.npz"), 2, "no scores at")


def test_scores_by_clip_have_no_thresholds_to_tune(ram_tagger: Command, rare: Path, tmp_path: Path):
    kept, tuned = tmp_path / "clip.npz", tmp_path / "tuned.txt"
    done = ram_tagger("evaluate", rare, "--open-set", "--by", "clip", "--scores", kept)
    assert done.returncode == 0 and "precision" not in done.stdout
    assert Scores.load(kept).by == "clip"
    asked = ("evaluate", "--scores", kept, "--tune-thresholds", tuned)
    refused(ram_tagger(*asked), 3, "tune them on scores --by decoder")
    refused(ram_tagger(*asked, "--by", "clip"), 2, "CLIP has no thresholds")
    assert not tuned.exists()


# The plot


def test_the_plot_is_a_png_with_both_curves(ram_tagger: Command, scores_file: Path, tmp_path: Path):
    path = tmp_path / "plot.png"
    assert ram_tagger("evaluate", "--scores", scores_file, "--plot", path).returncode == 0
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in (OVERALL, MEAN):
        drawn = (pixels == tuple(bytes.fromhex(colour[1:]))).all(axis=1)
        assert drawn.sum() > 500
    refused(
        ram_tagger("evaluate", "--scores", scores_file, "--plot", tmp_path / "plot.pdf"),
        2, "is no PNG",
    )  # fmt: skip


def test_without_matplotlib_a_plot_is_refused_before_any_work(
    ram_tagger: Command, common: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    kept = tmp_path / "scores.npz"
    done = ram_tagger("evaluate", common, "--scores", kept, "--plot", tmp_path / "plot.png")
    refused(done, 3, 'pip install "photoindex[train]"')
    assert not kept.exists()


# What cannot be done


def test_mistakes_are_told_before_the_network_runs(
    ram_tagger: Command, common: Path, rare: Path, tmp_path: Path
):
    lines = write_lines(tmp_path / "limits.txt", ["0.5\tno such tag"])
    for arguments, code, message in (
        ((), 2, "give the folder of a benchmark"),
        (("--images", tmp_path), 2, "give the folder of a benchmark, or --tag-list"),
        (("--open-set",), 2, "give the folder of a benchmark"),
        ((tmp_path / "nowhere",), 3, "no folder"),
        ((common, "--open-set"), 3, "has no *_llm_tag_descriptions.json"),
        ((rare,), 3, 'not in the model\'s vocabulary: "zebra"'),
        ((common, "--threshold", "0.5", "--thresholds", lines), 2, "not both"),
        ((common, "--threshold", "2"), 2, "--threshold"),
        ((common, "--thresholds", lines), 3, 'no tag "no such tag"'),
        ((common, "--by", "magic"), 2, "--by"),
        ((common, "--scores", tmp_path / "no" / "s.npz"), 3, "make it first"),
        ((common, "--plot", tmp_path / "no" / "p.png"), 3, "make it first"),
        ((common, "--model-dir", tmp_path), 3, "is no model folder"),
        ((common, "--descriptions", lines), 2, "not JSON"),
    ):
        refused(ram_tagger("evaluate", *arguments), code, message)
    refused(ram_tagger("set-thresholds", tmp_path, lines), 3, "is no model folder")
    refused(ram_tagger("set-thresholds", BUNDLED), 2, "Missing argument")


@pytest.mark.parametrize("command", ["evaluate", "set-thresholds"])
def test_help_tells_what_to_type_without_torch(command: str):
    script = (
        "import sys; from ram_tagger.cli.app import main; sys.argv[0] = 'ram-tagger'\n"
        "try: main()\n"
        "except SystemExit as leaving: assert not leaving.code, leaving\n"
        "heavy = {'torch', 'timm', 'open_clip', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, command, "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Example: ram-tagger {command}" in done.stdout
