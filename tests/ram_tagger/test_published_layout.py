"""Published checkpoints: what is read, translated, ignored, interpolated and refused."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from standins import Parity
from torch import Tensor, nn

from ram_tagger.checkpoint import clip_from_checkpoint, ram_from_checkpoint, read_checkpoint
from ram_tagger.config import ClipConfig, RamConfig
from ram_tagger.convert import convert, weights_in
from ram_tagger.errors import CheckpointError, RamTaggerError
from ram_tagger.published import infer_config

TABLE = "visual_encoder.layers.{}.blocks.0.attn.relative_position_bias_table"


@pytest.fixture
def weights(swin_b_files: Path) -> dict[str, Tensor]:
    """The Swin-B stand-in in its published layout, mapped from the file."""
    return read_checkpoint(swin_b_files / "ram_plus_swin_b_224.pth")


def test_backbone_and_sizes_are_told_from_the_shapes(weights: dict[str, Tensor], parity: Parity):
    assert infer_config(weights) == RamConfig("swin_base_patch4_window7_224", 224)
    shapes = parity.json("ram_plus_swin_l_384.json")
    large = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert infer_config(large) == RamConfig()


def test_downsampling_sits_one_stage_later_in_timm(weights: dict[str, Tensor]):
    network, _ = ram_from_checkpoint(weights)
    ours = network.state_dict()
    for stage in (0, 1, 2):
        published = weights[f"visual_encoder.layers.{stage}.downsample.reduction.weight"]
        name = f"encoder.backbone.layers.{stage + 1}.downsample.reduction.weight"
        assert torch.equal(ours[name], published)


def test_the_older_name_of_the_tagging_head_is_read(weights: dict[str, Tensor]):
    older = {re.sub("^tagging_head", "vision_multi", name): v for name, v in weights.items()}
    assert older.keys() != weights.keys()
    network, bank = ram_from_checkpoint(older)
    same, _ = ram_from_checkpoint(weights)
    assert all(torch.equal(v, same.state_dict()[n]) for n, v in network.state_dict().items())
    assert torch.equal(bank, weights["label_embed"])


def test_what_tagging_does_not_use_is_ignored(weights: dict[str, Tensor]):
    block = "visual_encoder.layers.0.blocks.1"
    more = {
        **weights,
        f"{block}.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.int64),
        f"{block}.attn_mask": torch.zeros(64, 49, 49),
        "text_decoder.cls.predictions.bias": torch.zeros(3),
        "tagging_head.embeddings.word_embeddings.weight": torch.zeros(3, 4),
    }
    network, _ = ram_from_checkpoint(more)
    same, _ = ram_from_checkpoint(weights)
    assert all(torch.equal(v, same.state_dict()[n]) for n, v in network.state_dict().items())


def test_position_tables_of_another_window_are_interpolated(weights: dict[str, Tensor]):
    wider = RamConfig("swin_base_patch4_window12_384", 384)
    network, _ = ram_from_checkpoint(weights, wider)
    table = network.state_dict()[
        "encoder.backbone.layers.0.blocks.0.attn.relative_position_bias_table"
    ]
    published = weights[TABLE.format(0)]
    assert table.shape == (23 * 23, published.shape[1])
    # Equal displacements, measured in windows, keep their bias: corners and centre are the same.
    for ours, theirs in ((0, 0), (22, 12), (264, 84), (528, 168)):
        assert torch.allclose(table[ours], published[theirs], atol=1e-6)
    assert network.encode(torch.zeros(1, 3, 384, 384)).shape == (1, 145, 512)


def test_a_missing_parameter_is_named(weights: dict[str, Tensor]):
    del weights["fc.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 needed .*fc\.weight"):
        ram_from_checkpoint(weights)


@pytest.mark.parametrize(
    "name",
    [
        "visual_encoder.layers.1.downsample.reduction.weight",
        "visual_encoder.patch_embed.proj.weight",
        "visual_encoder.norm.bias",
        "wordvec_proj.weight",
        "tagging_head.encoder.layer.0.crossattention.self.query.weight",
        "tagging_head.encoder.layer.1.crossattention.output.dense.bias",
        "tagging_head.encoder.layer.1.crossattention.output.LayerNorm.bias",
        "tagging_head.encoder.layer.1.intermediate.dense.bias",
        "tagging_head.encoder.layer.1.output.dense.bias",
        "tagging_head.encoder.layer.1.output.LayerNorm.bias",
    ],
)
def test_a_missing_parameter_is_named_as_it_was_published(weights: dict[str, Tensor], name: str):
    del weights[name]
    with pytest.raises(CheckpointError, match=rf"[ :]{re.escape(name)}( |;)"):
        ram_from_checkpoint(weights)


def test_missing_descriptions_are_named(weights: dict[str, Tensor]):
    del weights["label_embed"]
    with pytest.raises(CheckpointError, match="label_embed"):
        ram_from_checkpoint(weights)


def test_a_parameter_of_another_shape_is_named_with_both_shapes(weights: dict[str, Tensor]):
    weights["image_proj.weight"] = torch.zeros(512, 1000)
    with pytest.raises(
        CheckpointError, match=r"image_proj\.weight is \(512, 1000\).*\(512, 1024\)"
    ):
        ram_from_checkpoint(weights)


def test_a_parameter_that_sizes_are_told_from_is_named_too(weights: dict[str, Tensor]):
    weights["wordvec_proj.weight"] = torch.zeros(768)
    with pytest.raises(CheckpointError, match=r"wordvec_proj\.weight is \(768,\), needed are 2"):
        ram_from_checkpoint(weights)


def test_a_checkpoint_without_swin_is_told_from_one_that_is_damaged(weights: dict[str, Tensor]):
    foreign = {name: v for name, v in weights.items() if not name.startswith("visual_encoder")}
    with pytest.raises(CheckpointError, match="no RAM\\+\\+ checkpoint with a Swin backbone"):
        ram_from_checkpoint(foreign)


def test_tag_lists_of_another_checkpoint_are_refused(swin_b_files: Path, tmp_path: Path):
    for path in swin_b_files.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    for name in ("ram_tag_list.txt", "ram_tag_list_chinese.txt", "ram_tag_list_threshold.txt"):
        lines = (swin_b_files / name).read_text(encoding="utf-8").splitlines()[:-1]
        (tmp_path / name).unlink()
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot belong to 23 tags"):
        convert(tmp_path / "ram_plus_swin_b_224.pth", tmp_path / "model", "other")

    (tmp_path / "ram_tag_list.txt").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(RamTaggerError, match="2 tags, 23 Chinese tags and 23 thresholds"):
        convert(tmp_path / "ram_plus_swin_b_224.pth", tmp_path / "model", "other")

    (tmp_path / "ram_tag_list_chinese.txt").unlink()
    with pytest.raises(CheckpointError, match=r"ram_tag_list_chinese\.txt missing"):
        convert(tmp_path / "ram_plus_swin_b_224.pth", tmp_path / "model", "other")
    assert not (tmp_path / "model").exists()


def test_clip_is_looked_for_beside_the_weights(swin_b_files: Path, tmp_path: Path):
    weights = tmp_path / "ram_plus_swin_b_224.pth"
    weights.hardlink_to(swin_b_files / weights.name)
    with pytest.raises(CheckpointError, match=r"ViT-B-16\.pt are not beside"):
        convert(weights, tmp_path / "model", "other", tag_lists=swin_b_files)


def test_other_clip_weights_are_refused_by_name(weights: dict[str, Tensor]):
    with pytest.raises(CheckpointError, match="CLIP weights do not fit ViT-B-16"):
        clip_from_checkpoint(weights, ClipConfig())


def test_the_one_checkpoint_of_a_folder_is_found(swin_b_files: Path, tmp_path: Path):
    assert weights_in(swin_b_files).name == "ram_plus_swin_b_224.pth"
    with pytest.raises(CheckpointError, match=r"one \.pth in the folder, found none"):
        weights_in(tmp_path)


# Files that are read, and files that are not


class Runs:
    """A pickle of this runs a command when it is loaded without care."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("wrap", [lambda state: {"model": state}, lambda state: state])
def test_state_dicts_are_read_wrapped_or_bare(wrap, tmp_path: Path):
    torch.save(wrap({"a.weight": torch.arange(6.0)}), tmp_path / "weights.pth")
    assert torch.equal(read_checkpoint(tmp_path / "weights.pth")["a.weight"], torch.arange(6.0))


def test_half_precision_is_widened(tmp_path: Path):
    save_file({"a": torch.ones(3).half(), "n": torch.ones(2).int()}, tmp_path / "a.safetensors")
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert (read["a"].dtype, read["n"].dtype) == (torch.float32, torch.int32)


def test_a_pickle_that_needs_code_is_refused_and_not_run(tmp_path: Path):
    witness = tmp_path / "witness"
    path = tmp_path / "weights.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "args": Runs(witness)}, path)
    with pytest.raises(CheckpointError, match=r"refused: it needs code .*\.system\).*safetensors"):
        read_checkpoint(path)
    assert not witness.exists()


def test_an_old_pickle_is_refused_and_not_run(tmp_path: Path):
    witness = tmp_path / "witness"
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Runs(witness)))
    with pytest.raises(CheckpointError, match=r"weights\.pth is no whole checkpoint"):
        read_checkpoint(path)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("keep", [0, 7, 400, -1])
def test_a_truncated_file_is_an_error_that_names_it(name: str, keep: int, tmp_path: Path):
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save({"model": {"a": torch.zeros(200)}}, path)
    else:
        save_file({"a": torch.zeros(200)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [[1, 2], {"model": 3}, {"epoch": 3}, torch.zeros(2)])
def test_what_holds_no_state_dict_is_refused(value: object, tmp_path: Path):
    torch.save(value, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_checkpoint(tmp_path / "weights.pth")


def test_what_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "weights.pth")


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Parameter(torch.randn(2, 5).T)
        self.resblocks = nn.ModuleList([nn.Linear(3, 4), nn.LayerNorm(4)])
        self.register_buffer("positions", torch.arange(4))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x)
        return x


@pytest.fixture
def torchscript(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """An archive as OpenAI publishes CLIP: TorchScript, half precision."""
    path = tmp_path / "ViT-B-16.pt"
    module = Tower().half()
    torch.jit.script(module).save(str(path))
    return path, module.state_dict()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_weights_are_read_out_of_torchscript_archives(torchscript):
    path, expected = torchscript
    read = read_checkpoint(path)
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(read[name], value.float() if value.is_floating_point() else value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_a_torchscript_archive_runs_no_code(torchscript, tmp_path: Path):
    path, _ = torchscript
    witness = tmp_path / "witness"
    evil = tmp_path / "evil.pt"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(evil, "w") as changed:
        for name in archive.namelist():
            data = name.endswith("/data.pkl")
            changed.writestr(name, pickle.dumps(Runs(witness)) if data else archive.read(name))
    with pytest.raises(CheckpointError, match=r"refused: it needs code .*\.system"):
        read_checkpoint(evil)
    assert not witness.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_a_torchscript_archive_that_lacks_a_tensor_is_damaged(torchscript, tmp_path: Path):
    path, _ = torchscript
    cut = tmp_path / "cut.pt"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(cut, "w") as changed:
        for name in archive.namelist():
            if not name.endswith("/data/0"):
                changed.writestr(name, archive.read(name))
    with pytest.raises(CheckpointError, match=r"cut\.pt cannot be read as a checkpoint"):
        read_checkpoint(cut)
