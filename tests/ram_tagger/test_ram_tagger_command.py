"""`ram-tagger` as a user types it: what it prints, where, and what it tells the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from standins import SMALL_TAGS, Parity

from ram_tagger.cli.app import main

COMMAND = Path(sys.executable).with_name("ram-tagger")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


def installed(*arguments: str | Path, **environment: str) -> Done:
    """The installed command in a process of its own."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        check=False,
    )
    return Done(done.returncode, *(os.fsdecode(text) for text in (done.stdout, done.stderr)))


@pytest.fixture
def ram_tagger(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command's own door in this process, which has torch imported already."""

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


def refused(done: Done, code: int, message: str) -> None:
    """Nothing on stdout, one message on stderr, no traceback."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, parity: Parity) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / "beach.png", folder / "name with spaces 猫.webp", folder / "turned.jpg"]
    for number, path in enumerate(paths):
        parity.recipe.picture(number).convert("RGB").save(path)
    return paths


def test_tags_are_printed_in_both_languages(
    ram_tagger: Command, small_folder: Path, pictures: list[Path]
):
    done = ram_tagger("tag", *pictures, "--model-dir", small_folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[::3] == [str(path) for path in pictures]
    for english, chinese in zip(lines[1::3], lines[2::3], strict=True):
        shown = [part.rsplit(" ", 1) for part in english.strip().split(" | ")]
        probabilities = [float(probability) for _, probability in shown]
        assert probabilities == sorted(probabilities, reverse=True)
        assert {name for name, _ in shown} == {"cat", "dog", "red car"}  # thresholds 0, 0, 0, 1
        assert chinese.strip().split(" | ") == [SMALL_TAGS[name][0] for name, _ in shown]


def test_json_is_one_object_a_picture(
    ram_tagger: Command, small_folder: Path, pictures: list[Path]
):
    done = ram_tagger("tag", *pictures, "--model-dir", small_folder, "--json")
    assert done.returncode == 0
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o["path"] for o in objects] == [str(path) for path in pictures]
    for tag in objects[0]["tags"]:
        assert set(tag) == {"name", "name_zh", "probability", "threshold"}
        assert SMALL_TAGS[tag["name"]][0] == tag["name_zh"]
        assert 0 <= tag["probability"] <= 1


def test_one_threshold_for_all_tags(ram_tagger: Command, small_folder: Path, pictures: list[Path]):
    low = ram_tagger("tag", pictures[0], "--model-dir", small_folder, "--json", "--threshold", "0")
    assert {tag["name"] for tag in json.loads(low.stdout)["tags"]} == set(SMALL_TAGS)
    high = ram_tagger("tag", pictures[0], "--model-dir", small_folder, "--threshold", "1")
    assert high.returncode == 0
    assert "(no tag)" in high.stdout


def test_concepts_replace_the_vocabulary(
    ram_tagger: Command, small_folder: Path, pictures: list[Path], tmp_path: Path
):
    concepts = tmp_path / "concepts.json"
    table = {
        "tabby": {"descriptions": ["a cat with stripes"], "threshold": 0.01, "zh": "虎斑猫"},
        "rocket": {"threshold": 0.99},
    }
    concepts.write_text(json.dumps(table), encoding="utf-8")
    arguments = ("tag", pictures[0], "--model-dir", small_folder, "--concepts", concepts)
    done = ram_tagger(*arguments)
    assert done.returncode == 0
    assert "tabby" in done.stdout and "虎斑猫" in done.stdout and "rocket" not in done.stdout
    (tag,) = json.loads(ram_tagger(*arguments, "--json").stdout)["tags"]
    assert (tag["name"], tag["threshold"]) == ("tabby", 0.01)
    every = json.loads(ram_tagger(*arguments, "--json", "--threshold", "0").stdout)["tags"]
    assert {tag["name"] for tag in every} == {"tabby", "rocket"}


def test_a_picture_that_cannot_be_read_stops_none_of_the_others(
    ram_tagger: Command, small_folder: Path, pictures: list[Path], tmp_path: Path
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    lost = tmp_path / "lost.jpg"
    order = [pictures[0], bad, pictures[1], lost, pictures[2]]
    done = ram_tagger("tag", *order, "--model-dir", small_folder, "--json")
    assert done.returncode == 3
    seen = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert seen == [str(path) for path in pictures]
    first, second = done.stderr.splitlines()
    assert first.startswith(f"ram-tagger: {bad}: no picture that can be read")
    assert second.startswith(f"ram-tagger: {lost}: no picture that can be read")


def test_bf16_runs_on_any_processor(ram_tagger: Command, small_folder: Path, pictures: list[Path]):
    done = ram_tagger("tag", pictures[0], "--model-dir", small_folder, "--precision", "bf16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cat" in done.stdout


def test_the_installed_command_takes_any_path_and_any_terminal(small_folder: Path, tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    Image.new("RGB", (20, 20)).save(path)
    lost = Path(os.fsdecode(os.fsencode(tmp_path) + b"/lost\xe9.png"))
    done = installed("tag", path, lost, "--model-dir", small_folder, PYTHONIOENCODING="latin-1")
    assert done.returncode == 3
    shown, _, chinese = done.stdout.splitlines()
    assert shown.endswith("caf\\xe9.png")  # as photoindex shows it
    assert "\\u732b" in chinese  # no Chinese on a Latin-1 terminal, and no failure
    assert "no picture that can be read" in done.stderr
    assert "Traceback" not in done.stderr


# What cannot be done


def test_usage_errors_exit_with_2(
    ram_tagger: Command, small_folder: Path, pictures: list[Path], tmp_path: Path
):
    one = pictures[0]
    refused(ram_tagger(), 2, "Tag pictures with RAM++")  # the help, on stderr
    refused(ram_tagger("tag"), 2, "Missing argument")
    refused(ram_tagger("tag", one, "--threshold", "2"), 2, "--threshold")
    refused(ram_tagger("tag", one, "--precision", "int4"), 2, "--precision")
    refused(ram_tagger("tag", one, "--no-such-option"), 2, "No such option")
    both = ram_tagger("tag", one, "--model-dir", small_folder, "--weights", one)
    refused(both, 2, "give --model-dir or --weights, not both")
    refused(ram_tagger("convert", one), 2, "Missing argument")
    refused(ram_tagger("convert", one, small_folder), 2, "is there already: name a new folder")
    refused(ram_tagger("convert", one, one), 2, "is there already: name a new folder")


def test_a_malformed_concept_file_exits_with_2_and_names_the_entry(
    ram_tagger: Command, small_folder: Path, pictures: list[Path], tmp_path: Path
):
    concepts = tmp_path / "concepts.json"
    concepts.write_text('{"cat": ["x"], "dog": "y"}', encoding="utf-8")
    done = ram_tagger("tag", pictures[0], "--model-dir", small_folder, "--concepts", concepts)
    refused(done, 2, f'ram-tagger: {concepts}: concept "dog": descriptions must be a list')
    lost = ram_tagger("tag", pictures[0], "--concepts", tmp_path / "lost.json")
    refused(lost, 2, "lost.json: cannot be read")


def test_what_cannot_be_done_exits_with_3(
    ram_tagger: Command, small_folder: Path, pictures: list[Path], tmp_path: Path
):
    one = pictures[0]
    refused(ram_tagger("tag", one, "--model-dir", tmp_path), 3, "ram-tagger: ")
    refused(ram_tagger("tag", one, "--weights", tmp_path / "x.pth"), 3, "no checkpoint at")
    refused(ram_tagger("tag", one, "--weights", one), 3, "no whole checkpoint")
    gpu = ram_tagger("tag", one, "--model-dir", small_folder, "--device", "cuda:99")
    refused(gpu, 3, 'no device "cuda:99" here: use --device cpu')
    refused(ram_tagger("convert", one, tmp_path / "new"), 3, "no whole checkpoint")
    assert not (tmp_path / "new").exists()


# Published weights


def test_published_weights_are_converted_and_tag(
    ram_tagger: Command, swin_b_folder: Path, swin_b_files: Path, parity
):
    figures = parity.figures("ram_plus_swin_b_224")
    picture = swin_b_files / "picture.png"
    parity.recipe.picture(0).save(picture)
    expected = set(str(figures["tags"][0]).split(" | "))
    weights = swin_b_files / "ram_plus_swin_b_224.pth"
    for source in (("--model-dir", swin_b_folder), ("--weights", weights)):
        done = ram_tagger("tag", picture, *source, "--precision", "fp32", "--json")
        assert done.returncode == 0, done.stderr
        tags = json.loads(done.stdout)["tags"]
        assert {tag["name"] for tag in tags} == expected
        assert all(tag["name_zh"] == tag["name"].replace("tag", "标签") for tag in tags)


def test_conversion_says_what_it_made(ram_tagger: Command, swin_b_files: Path, tmp_path: Path):
    """With every file named instead of found beside the weights."""
    moved = tmp_path / "weights.pth"
    moved.hardlink_to(swin_b_files / "ram_plus_swin_b_224.pth")
    folder = tmp_path / "model"
    done = ram_tagger(
        "convert", moved, folder, "--clip", swin_b_files / "ViT-B-16.pt",
        "--tag-lists", swin_b_files, "--name", "mine",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{folder}: model mine-")
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "labels.safetensors",
        "clip.safetensors",
        "tags.txt",
        "tags_zh.txt",
        "thresholds.txt",
    }


# Help


@pytest.mark.parametrize("arguments", [[], ["tag"], ["convert"]])
def test_help_tells_every_option_without_torch(arguments: list[str]):
    script = (
        "import sys; from ram_tagger.cli.app import main; sys.argv[0] = 'ram-tagger'\n"
        "try: main()\n"
        "except SystemExit as leaving: assert not leaving.code, leaving\n"
        "heavy = {'torch', 'timm', 'open_clip', 'PIL', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = {
        (): ["tag", "convert"],
        ("tag",): ["--model-dir", "--weights", "--concepts", "--threshold", "--json", "--device"],
        ("convert",): ["--clip", "--tag-lists", "--name"],
    }[tuple(arguments)]
    assert all(option in done.stdout for option in expected)
