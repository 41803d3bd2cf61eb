"""Model folders: written once, opened by mapping, refused when damaged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from standins import SMALL_TAGS, small_config, write_small_model
from torch import Tensor

import ram_tagger
from ram_tagger.checkpoint import ModelParts, save_model_folder
from ram_tagger.config import ModelConfig
from ram_tagger.errors import CheckpointError, RamTaggerError
from ram_tagger.model_folder import load_config
from ram_tagger.predict import RamTagger


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(small_folder, tmp_path / "model"))


def mapped_file(tensor: Tensor) -> str | None:
    """The file that a tensor's memory is a mapping of, as the kernel tells it."""
    address = tensor.data_ptr()
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, *rest = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end:
            return rest[4] if len(rest) > 4 else None
    return None


def test_weights_and_descriptions_are_mapped_not_read(swin_b_folder: Path, swin_b: RamTagger):
    weight = swin_b.network.decoder.wordvec_proj.weight
    assert mapped_file(weight) == str(swin_b_folder / "model.safetensors")
    assert mapped_file(swin_b.bank.embeddings) == str(swin_b_folder / "labels.safetensors")
    assert mapped_file(swin_b.clip.network.text_projection) == str(  # type: ignore[arg-type]
        swin_b_folder / "clip.safetensors"
    )


def test_the_vocabulary_comes_back_as_written(small: RamTagger):
    assert small.labels.names == tuple(SMALL_TAGS)
    assert small.labels.names_zh == tuple(chinese for chinese, _ in SMALL_TAGS.values())
    assert small.labels.thresholds == (0.0, 0.0, 0.0, 1.0)
    assert small.bank.counts.tolist() == [len(texts) for _, texts in SMALL_TAGS.values()]


def test_a_tag_may_lack_a_chinese_name(folder: Path, parity):
    (folder / "tags_zh.txt").write_text("猫\n\n红色汽车\n天空\n", encoding="utf-8")
    tagger = RamTagger.load(folder, "cpu")
    (prediction,) = tagger.predict([parity.recipe.picture(0)])
    named = {tag.name: tag.name_zh for tag in tagger.tags(prediction)}
    assert named == {"cat": "猫", "dog": None, "red car": "红色汽车"}


def test_a_folder_is_as_readable_as_any_other_file(small_folder: Path, tmp_path: Path):
    (tmp_path / "plain").touch()
    expected = (tmp_path / "plain").stat().st_mode
    assert {path.stat().st_mode for path in small_folder.iterdir()} == {expected}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write .*file.model"):
        write_small_model(tmp_path / "file" / "model")


def test_a_folder_that_fails_half_way_is_not_there(small_folder: Path, tmp_path: Path):
    tagger = RamTagger.load(small_folder, "cpu")
    names = ("lone \ud800", *tagger.labels.names[1:])  # cannot be written as UTF-8
    labels = replace(tagger.labels, names_zh=names)
    parts = ModelParts(tagger.config, tagger.network, tagger.clip.network, labels, tagger.bank)
    with pytest.raises(UnicodeEncodeError):
        save_model_folder(tmp_path / "model", parts)
    assert list(tmp_path.iterdir()) == []


def test_the_config_comes_back_as_written(small_folder: Path):
    written = load_config(small_folder)
    assert ModelConfig.from_json(json.loads(json.dumps(written.to_json()))) == written
    assert written.clip == small_config().clip
    assert written.ram == small_config().ram


def test_the_model_id_changes_with_what_changes_results(small_folder: Path, tmp_path: Path):
    again = write_small_model(tmp_path / "again")
    assert again.model_id == load_config(small_folder).model_id
    tagger = RamTagger.load(small_folder, "cpu")
    parts = ModelParts(again, tagger.network, tagger.clip.network, tagger.labels, tagger.bank)
    assert save_model_folder(tmp_path / "copy", parts).model_id == again.model_id
    renamed = replace(tagger.labels, names=("lynx", *tagger.labels.names[1:]))
    parts = replace(parts, labels=renamed)
    assert save_model_folder(tmp_path / "renamed", parts).model_id != again.model_id
    halved = write_small_model(tmp_path / "halved", half=True)
    assert halved.model_id != again.model_id
    assert halved.name == again.name


def test_a_folder_in_half_precision_is_half_the_size_and_runs(tmp_path: Path, parity):
    for name, half in (("full", False), ("half", True)):
        write_small_model(tmp_path / name, half)
    full, half = ((tmp_path / n / "model.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.6 * full
    picture = parity.recipe.picture(0)
    one, other = (
        next(RamTagger.load(tmp_path / name, "cpu").predict([picture])) for name in ("full", "half")
    )
    assert one.tokens.dtype == other.tokens.dtype
    assert abs(one.probabilities - other.probabilities).max() < 0.02


def test_load_is_the_public_door(small_folder: Path, parity):
    tagger = ram_tagger.load(str(small_folder), device="cpu")
    assert isinstance(tagger, ram_tagger.RamTagger)
    (prediction,) = tagger.predict([parity.recipe.picture(2)])
    assert isinstance(prediction, ram_tagger.Prediction)
    assert all(isinstance(tag, ram_tagger.Tag) for tag in tagger.tags(prediction))


@pytest.mark.parametrize("name", ["model.safetensors", "clip.safetensors", "labels.safetensors"])
def test_a_lost_or_cut_file_is_named(folder: Path, name: str):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=name):
        RamTagger.load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=name):
        RamTagger.load(folder)


def test_a_folder_that_is_no_model_folder_says_what_makes_one(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no model folder.*ram-tagger convert"):
        RamTagger.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"name": "x"}', '{"name": 1, "ram": 2}'])
def test_a_damaged_config_is_named(folder: Path, text: str):
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        RamTagger.load(folder)


def changed_config(folder: Path, part: str, **changes: object) -> None:
    table = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    table[part].update(changes)
    (folder / "config.json").write_text(json.dumps(table), encoding="utf-8")


def test_a_config_of_another_format_asks_for_a_newer_version(folder: Path):
    table = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**table, "format": 2}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"format 2.*newer"):
        RamTagger.load(folder)


def test_an_unknown_setting_is_an_error(folder: Path):
    changed_config(folder, "ram", windows=3)
    with pytest.raises(CheckpointError, match="windows"):
        RamTagger.load(folder)


def test_an_unknown_backbone_is_named(folder: Path):
    changed_config(folder, "ram", backbone="resnet_of_tomorrow")
    with pytest.raises(RamTaggerError, match='timm has no backbone "resnet_of_tomorrow"'):
        RamTagger.load(folder)


def test_an_unknown_clip_is_named(folder: Path):
    changed_config(folder, "clip", architecture="ViT-of-tomorrow")
    with pytest.raises(RamTaggerError, match='open_clip has no "ViT-of-tomorrow"'):
        RamTagger.load(folder)


def test_weights_of_another_network_are_named(folder: Path):
    changed_config(folder, "ram", hidden_width=128)
    with pytest.raises(CheckpointError, match=r"parameters of other shapes: .*decoder"):
        RamTagger.load(folder)


def test_tags_that_do_not_fit_the_descriptions_are_refused(folder: Path):
    for name in ("tags.txt", "tags_zh.txt", "thresholds.txt"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()[:-1]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CheckpointError, match="3 tags and embeddings of 4"):
        RamTagger.load(folder)


@pytest.mark.parametrize("line", ["nan", "-0.1", "1.5"])
def test_a_threshold_that_is_no_probability_is_refused(folder: Path, line: str):
    (folder / "thresholds.txt").write_text(f"0.5\n{line}\n0.5\n0.5\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"thresholds\.txt: line 2 is no threshold"):
        RamTagger.load(folder)


def test_a_threshold_that_is_no_number_is_quoted(folder: Path):
    (folder / "thresholds.txt").write_text("0.5\n0.5\nmuch\n0.5\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"thresholds.txt cannot be read: .*much"):
        RamTagger.load(folder)


def test_descriptions_without_their_counts_are_refused(folder: Path):
    save_file({"embeddings": torch.zeros(10, 64)}, folder / "labels.safetensors")
    with pytest.raises(CheckpointError, match=r"labels\.safetensors lacks counts"):
        RamTagger.load(folder)
