"""The walk of docs/training.md, done on drawn scenes; and what fine-tuning promises besides."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from own_scenes import DESCRIPTIONS, RULES, own_tags, write_own_photos
from PIL import Image
from running import start
from small_run import TRIAL

from photoindex.concept_file import read_concepts
from ram_tagger.evaluation.benchmark import Benchmark
from ram_tagger.evaluation.report import Report
from ram_tagger.evaluation.scores import score_benchmark
from ram_tagger.predict import RamTagger
from ram_tagger.sketch.trial import read_trial
from ram_tagger.sources import BUNDLED
from ram_tagger.training.own_photos import captions_of
from ram_tagger.training.photo_table import OwnPhoto

GUIDE = Path(__file__).parents[2] / "docs" / "training.md"
TAKEN = range(360)
"""Scenes that are somebody's photos; the last 400 of the trial are new to the model."""
QUICKER = ["--rate", "1e-3", "--epochs", "8"]
"""The bundled model is small and learns at a higher rate than the published one."""


def commands() -> list[list[str]]:
    """The commands of the walk, as the guide prints them."""
    text = GUIDE.read_text(encoding="utf-8")
    walk = text[text.index("<!-- walk") : text.index("<!-- end of the walk")]
    return [
        shlex.split(line)
        for line in re.findall(r"^    ((?:ram-tagger|photoindex) .*)$", walk, re.M)
    ]


@dataclass(frozen=True, slots=True)
class Walked:
    folder: Path
    outputs: list[str]

    @property
    def model(self) -> Path:
        return self.folder / "runs" / "mine" / "model"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """Everything that the walk tells a user to do."""
    folder = tmp_path_factory.mktemp("walk")
    write_own_photos(folder, TAKEN)
    outputs = []
    for words in commands():
        program = Path(sys.executable).with_name(words[0])
        arguments = [str(BUNDLED) if word == "MODEL" else word for word in words[1:]]
        done = subprocess.run(
            [program, *arguments, *(QUICKER if words[1] == "finetune" else [])],
            cwd=folder,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PHOTOINDEX_LIBRARY": str(folder / "library"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        outputs.append(done.stdout)
    return Walked(folder, outputs)


@pytest.fixture(scope="module")
def unseen() -> tuple[list[Image.Image], list[list[str]], list[tuple[str, ...]]]:
    """Scenes that are not in the table: pictures, own tags, the model's tags."""
    trial, pictures = read_trial(TRIAL)
    rows = range(600, 1000)
    return (
        [pictures[i] for i in rows],
        [own_tags(trial.shown[i], trial.tags[i]) for i in rows],
        [trial.tags[i] for i in rows],
    )


def report(
    tagger: RamTagger,
    pictures: list[Image.Image],
    tags: tuple[str, ...],
    true: list,
    concepts: tuple = (),
) -> Report:
    truth = np.array([[tag in names for tag in tags] for names in true])
    called = tuple(f"{number}" for number in range(len(pictures)))
    return Report.of(
        score_benchmark(tagger, Benchmark("unseen", tuple(pictures), called, tags, truth, concepts))
    )


def test_the_walk_has_every_step():
    assert [" ".join(words[:2]) for words in commands()] == [
        "ram-tagger finetune",
        "ram-tagger evaluate",
        "photoindex index",
        "photoindex search",
    ]


@pytest.mark.timeout(600)
def test_the_new_model_knows_ten_tags_more(walked: Walked, unseen):
    tagger = RamTagger.load(walked.model, "cpu", "fp32")
    old = RamTagger.load(BUNDLED, "cpu", "fp32")
    assert set(tagger.labels.names) == set(old.labels.names) | set(RULES)
    chinese = dict(zip(tagger.labels.names, tagger.labels.names_zh, strict=True))
    assert chinese["day at the sea"] == "海边一日"
    pictures, own, _ = unseen
    learned = report(tagger, pictures, tuple(RULES), own)
    concepts = {c.name: c for c in read_concepts(walked.folder / "my-tags.json")}
    described = report(old, pictures, tuple(RULES), own, tuple(concepts[t] for t in RULES))
    assert learned.mean_average_precision >= 0.8
    assert learned.mean_average_precision >= described.mean_average_precision + 0.04
    assert learned.mean.f1 >= 0.7


def test_it_has_forgotten_nothing(walked: Walked, unseen):
    tagger, old = (RamTagger.load(f, "cpu", "fp32") for f in (walked.model, BUNDLED))
    pictures, _, tags = unseen
    before = report(old, pictures, old.labels.names, tags)
    after = report(tagger, pictures, old.labels.names, tags)
    assert after.mean_average_precision >= before.mean_average_precision - 0.01
    assert after.mean.f1 >= before.mean.f1 - 0.02


def test_the_walk_shows_figures_and_finds_photos(walked: Walked):
    trained, evaluated, _, found = walked.outputs
    figures = [float(f) for f in re.findall(r"mAP (\S+) on own tags", trained)]
    assert figures[-1] > figures[0]
    assert all(tag in evaluated for tag in RULES)
    with Image.open(walked.folder / "mine.png") as plot:
        assert plot.width > 400
    trial, _ = read_trial(TRIAL)
    numbers = [int(number) for number in re.findall(r"IMG_(\d+)\.png", found)]
    right = [n for n in numbers if "day at the sea" in own_tags(trial.shown[n], trial.tags[n])]
    assert numbers
    assert len(right) >= 0.9 * len(numbers)


def test_what_was_prepared_can_be_trained_by_hand(walked: Walked, tmp_path: Path):
    """The folder beside the run holds a recipe and published-format annotations."""
    data = walked.folder / "runs" / "mine-data"
    entries = json.loads((data / "training.json").read_text(encoding="utf-8"))
    assert set(entries[0]) == {"image_path", "caption", "union_label_id", "parse_label_id"}
    process = start(
        "train", data / "recipe.json", "--out", tmp_path / "again",
        "--set", "schedule.steps=2", "--set", "output.report_every=1",
    )  # fmt: skip
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert "keeping" in stdout


def test_only_own_tags(walked: Walked, tmp_path: Path):
    process = start(
        "finetune", walked.folder / "my-tags.csv", "--images", walked.folder / "my-photos",
        "--model-dir", BUNDLED, "--out", tmp_path / "run", "--only-own-tags", "--epochs", "0.1",
    )  # fmt: skip
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    labels = RamTagger.load(tmp_path / "run" / "model", "cpu").labels
    assert set(labels.names) == set(RULES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--images", "elsewhere"], "no photo of the table can be read"),
        (["--concepts", "other.json"], '"tabby" is no tag of the table'),
    ],
)
def test_what_does_not_fit_is_refused(walked: Walked, tmp_path: Path, change, message):
    (tmp_path / "other.json").write_text(json.dumps({"tabby": []}))
    options = [
        str(tmp_path / word) if "." in word or word == "elsewhere" else word for word in change
    ]
    base = [] if "--images" in change else ["--images", walked.folder / "my-photos"]
    process = start(
        "finetune", walked.folder / "my-tags.csv", *base, *options,
        "--model-dir", BUNDLED, "--out", tmp_path / "run",
    )  # fmt: skip
    _, stderr = process.communicate()
    assert process.returncode == 3
    assert message in stderr
    assert "Traceback" not in stderr


def test_a_run_folder_of_another_table_is_not_mixed_up(walked: Walked, tmp_path: Path):
    table = tmp_path / "my-tags.csv"
    table.write_text((walked.folder / "my-tags.csv").read_text() + "IMG_0000b.png,hike\n")
    process = start(
        "finetune", table, "--images", walked.folder / "my-photos", "--model-dir", BUNDLED,
        "--out", walked.folder / "runs" / "mine", *QUICKER,
    )  # fmt: skip
    _, stderr = process.communicate()
    assert process.returncode == 3
    assert "made of another table" in stderr


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A few photos and a table that spells two of the model's tags in its own way."""
    write_own_photos(tmp_path, range(24))
    trial, _ = read_trial(TRIAL)
    spelled = {"sea": "SEA", "animal": "Animal"}
    rows = [
        f"IMG_{n:04}.png,{'|'.join(spelled[t] for t in trial.tags[n] if t in spelled)}"
        for n in range(24)
    ]
    (tmp_path / "mine.csv").write_text("path,tags\n" + "\n".join(rows) + "\n")
    return tmp_path


def finetune_few(few: Path, out: str) -> str:
    process = start(
        "finetune", few / "mine.csv", "--images", few / "my-photos", "--model-dir", BUNDLED,
        "--out", few / out, "--epochs", "0.5",
    )  # fmt: skip
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return str(stderr)


def test_known_tags_may_be_spelled_otherwise(few: Path):
    said = finetune_few(few, "run")
    assert "new" not in said.splitlines()[0]
    labels = RamTagger.load(few / "run" / "model", "cpu").labels
    assert labels.names == RamTagger.load(BUNDLED, "cpu").labels.names
    told = (few / "run-data" / "annotated.txt").read_text().split("\n")
    assert set(told) == {"sea", "animal", ""}


def test_a_preparation_that_was_cut_off_is_made_anew(few: Path):
    finetune_few(few, "run")
    (few / "run-data" / "prepared.json").unlink()
    finetune_few(few, "run")
    finetune_few(few, "other")
    for name in ("training.json", "tags.txt", "own_annots.txt"):
        assert (few / "run-data" / name).read_bytes() == (few / "other-data" / name).read_bytes()


def test_a_caption_names_whole_words():
    photo = OwnPhoto("a.jpg", ("cat", "tea"), "An education fair with Tea")
    assert list(captions_of(photo)) == [(photo.caption, ("tea",))]


def test_descriptions_of_the_walk_are_of_its_tags():
    assert set(DESCRIPTIONS) == set(RULES)
