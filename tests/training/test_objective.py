"""What a step's losses are made of: what is annotated, what is kept, what is sampled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import SmallSet
from torch import nn

from ram_tagger.checkpoint import load_bank, load_network
from ram_tagger.model_folder import load_config
from ram_tagger.sources import BUNDLED
from ram_tagger.training import objective
from ram_tagger.training.objective import Known, Objective, Piece
from ram_tagger.training.recipe import Loss

TOLD = 10
"""The first tags of the vocabulary are annotated, the others are not."""


@pytest.fixture
def learner(small_set: SmallSet) -> tuple[Objective, Piece]:
    """The bundled model, its decoder shaken a little since it was asked for its opinion."""
    network = load_network(BUNDLED, load_config(BUNDLED).ram)
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    bank = load_bank(BUNDLED)
    annotated = torch.arange(len(bank)) < TOLD
    known = Known(network, bank, annotated)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    pixels = np.stack([np.asarray(Image.open(path)) for path in picture_paths(small_set)])
    count = len(pixels)
    piece = Piece(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2),
        seen=torch.zeros(count, network.config.embedding_width),
        targets=torch.zeros(count, len(bank)),
        texts=bank.embeddings[:count],
        own=torch.eye(count, dtype=torch.bool),
        holds=None,
        of=count,
    )
    return Objective(network, bank, Loss(), fixed_statistics=True, known=known).train(), piece


def picture_paths(small_set: SmallSet) -> list[Path]:
    return sorted(small_set.images.glob("scene-0*.png"))[:6]


def test_tags_that_are_not_annotated_are_no_targets(learner: tuple[Objective, Piece]):
    ours, piece = learner
    targets = torch.zeros_like(piece.targets)
    targets[:, TOLD:] = 1  # whatever stands there
    other = ours(replace(piece, targets=targets))
    for name, loss in ours(piece).items():
        assert torch.equal(loss, other[name]), name


def test_keeping_is_nothing_while_the_model_is_of_its_old_opinion(small_set: SmallSet):
    network = load_network(BUNDLED, load_config(BUNDLED).ram)
    bank = load_bank(BUNDLED)
    known = Known(network, bank, torch.arange(len(bank)) < TOLD)
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    rows = known.some()
    tokens = network.encode(pixels)
    believed = known.probabilities(pixels, tokens, rows)
    logits = network.score(tokens, bank)[:, rows]
    assert objective.keeping_loss(logits, believed).item() == pytest.approx(0, abs=1e-2)
    assert objective.keeping_loss(logits + 1, believed).item() > 0.1


def test_some_known_tags_stand_for_all_of_them(
    learner: tuple[Objective, Piece], monkeypatch: pytest.MonkeyPatch
):
    ours, piece = learner
    with torch.no_grad():
        whole = ours(piece)["keeping"].item()
        monkeypatch.setattr(objective, "KEPT_AT_ONCE", 30)
        torch.manual_seed(0)
        drawn = [ours(piece)["keeping"].item() for _ in range(150)]
    assert len(set(drawn)) > 100
    assert np.mean(drawn) == pytest.approx(whole, rel=0.1)


def test_the_opinion_that_is_kept_does_not_move(learner: tuple[Objective, Piece]):
    ours, piece = learner
    torch.stack(list(ours(piece).values())).sum().backward()
    assert all(p.grad is None for p in ours.known._network.parameters())  # type: ignore[union-attr]
    assert not any(name.startswith("known") for name in ours.state_dict())


def test_fixed_statistics_stay_in_training(learner: tuple[Objective, Piece]):
    ours, piece = learner
    means = [m.running_mean.clone() for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    assert means
    ours(piece)
    after = [m.running_mean for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(torch.equal(a, b) for a, b in zip(means, after, strict=True))
    ours.fixed_statistics = False
    ours.train()(piece)
    after = [m.running_mean for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(torch.equal(a, b) for a, b in zip(means, after, strict=True))
