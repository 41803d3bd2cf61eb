"""Training on published weights: the original's losses, its two layouts, its change of size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from standins import Parity

from ram_tagger.checkpoint import label_bank, ram_from_checkpoint
from ram_tagger.config import RamConfig
from ram_tagger.label_bank import open_clip_of
from ram_tagger.labels import LabelBank
from ram_tagger.pixels import squeezed
from ram_tagger.training.materials import beginning, fresh_network
from ram_tagger.training.objective import Objective, Piece
from ram_tagger.training.recipe import Loss, Recipe

OURS = {
    "reweight_scale": "network.reweight_scale",
    "visual_encoder.patch_embed.proj.weight": "network.encoder.backbone.patch_embed.proj.weight",
    "tagging_head.encoder.layer.1.output.dense.weight": "network.decoder.layers.1.contract.weight",
    "wordvec_proj.weight": "network.decoder.wordvec_proj.weight",
    "fc.weight": "network.decoder.fc.weight",
    "image_proj.weight": "network.encoder.image_proj.weight",
    "label_embed": "label_embeddings",
}


def test_the_objective_gives_the_originals_losses_and_gradients(parity: Parity):
    figures = parity.figures("ram_plus_swin_b_224")
    network, rows = ram_from_checkpoint(parity.weights("ram_plus_swin_b_224"))
    bank = label_bank(rows, figures["logits"].shape[1])
    asked = LabelBank(bank.embeddings.clone().requires_grad_(), bank.counts)
    objective = Objective(network, asked, Loss(), fixed_statistics=False).eval()
    squares = [
        np.asarray(squeezed(picture, network.config.image_size))
        for picture in parity.pictures(figures["pictures"])
    ]
    piece = Piece(
        pixels=torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2),
        seen=torch.from_numpy(figures["clip_feature"]),
        targets=torch.from_numpy(figures["image_tag"]),
        texts=torch.from_numpy(figures["batch_text_embed"]),
        own=torch.eye(len(squares), dtype=torch.bool),
        holds=None,
        of=len(squares),
    )
    losses = objective(piece)
    torch.stack(list(losses.values())).sum().backward()

    for ours, theirs in (("tagging", "tag"), ("distillation", "dis"), ("alignment", "alignment")):
        assert losses[ours].item() == pytest.approx(float(figures[f"loss_{theirs}"]), rel=1e-4)
    parameters = dict(objective.named_parameters())
    for name, norm in zip(figures["grad_names"], figures["grad_norms"], strict=True):
        gradient = parameters[OURS[name]].grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(float(norm), rel=1e-3), name


def recipe_on(weights: Path, **network: object) -> Recipe:
    table = {
        "name": "onwards",
        "beginning": {"model": str(weights)},
        "network": network,
        "data": {"annotations": ["some.json"]},
        "schedule": {"steps": 1},
    }
    return Recipe.from_json(table, "onwards")


def test_training_goes_on_from_a_published_checkpoint_at_another_size(swin_b_files: Path):
    weights = swin_b_files / "ram_plus_swin_b_224.pth"
    same = beginning(recipe_on(weights))
    assert same.config.ram.backbone == "swin_base_patch4_window7_224"
    larger = beginning(recipe_on(weights, backbone="swin_base_patch4_window12_384", image_size=384))
    assert larger.config.ram.image_size == 384
    table = "encoder.backbone.layers.0.blocks.0.attn.relative_position_bias_table"
    small, grown = same.network.state_dict()[table], larger.network.state_dict()[table]
    assert (len(small), len(grown)) == (13**2, 23**2)
    corners = lambda t, side: t.reshape(side, side, -1)[[0, 0, -1, -1], [0, -1, 0, -1]]  # noqa: E731
    assert torch.allclose(corners(small, 13), corners(grown, 23), atol=1e-4)
    with torch.inference_mode():
        tokens = larger.network.eval().encode(torch.zeros(1, 3, 384, 384))
    assert tokens.shape == (1, 145, 512)


def test_a_model_folder_grows_the_same_way(swin_b_folder: Path):
    config = replace(RamConfig(), backbone="swin_base_patch4_window12_384")
    larger = beginning(
        recipe_on(swin_b_folder, backbone=config.backbone, image_size=config.image_size)
    )
    assert larger.network.config.image_size == 384
    assert larger.labels.names[0] == "tag0"


@pytest.mark.parametrize("original", [True, False], ids=["the original's names", "timm's names"])
def test_a_fresh_network_begins_with_a_swin_of_its_own(tmp_path: Path, original: bool):
    torch.manual_seed(1)
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    state = dict(swin.state_dict())
    if original:  # `downsample` at the end of its own stage, not at the start of the next
        for stage in (1, 2, 3):
            for name in [n for n in state if n.startswith(f"layers.{stage}.downsample.")]:
                state[name.replace(f"layers.{stage}.", f"layers.{stage - 1}.")] = state.pop(name)
        state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(2401)
    torch.save({"model": state}, tmp_path / "swin.pth")
    config = RamConfig(backbone="swin_tiny_patch4_window7_224", image_size=224, embedding_width=128)
    network = fresh_network(config, str(tmp_path / "swin.pth"), open_clip_of("sketch"))
    for name, value in swin.state_dict().items():
        assert torch.equal(network.encoder.backbone.state_dict()[name], value), name
