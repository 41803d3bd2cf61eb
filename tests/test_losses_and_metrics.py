"""The losses and metrics are numerically those of the published training and evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ram_tagger.evaluation.metrics import (
    average_precisions,
    best_thresholds,
    mean_average_precision,
    precision_recall,
    recall_at,
)
from ram_tagger.training.losses import alignment_loss, asymmetric_loss

PARITY = Path(__file__).parent / "parity"


@pytest.fixture(scope="module")
def figures():
    return np.load(PARITY / "losses_and_metrics.npz")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tag", {"gamma_negative": 7}),
        ("alignment", {"gamma_negative": 4}),
        ("default", {"gamma_negative": 4, "gamma_positive": 1}),
        ("noclip", {"gamma_negative": 2, "gamma_positive": 1, "clip": 0}),
    ],
)
def test_asymmetric_loss_and_gradient(figures, name, options):
    logits = torch.from_numpy(figures["asl_logits"]).requires_grad_()
    loss = asymmetric_loss(logits, torch.from_numpy(figures["asl_targets"]), **options)
    loss.backward()
    assert loss.item() == pytest.approx(float(figures[f"asl_{name}"]), rel=1e-5)
    assert np.allclose(logits.grad, figures[f"asl_{name}_grad"], atol=1e-6)


def test_a_text_that_holds_elsewhere_counts_neither_way():
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    own = torch.eye(4, dtype=torch.bool)
    holds = own.clone()
    holds[1, 2] = True
    alignment_loss(logits, own, holds).backward()
    assert logits.grad[1, 2] == 0
    assert logits.grad[2, 1] != 0
    assert (logits.grad.diagonal() != 0).all()


def test_average_precision(figures):
    truth = _truth(figures, figures["map_taglist"])
    assert np.allclose(average_precisions(figures["map_scores"], truth), figures["APs"], atol=1e-6)
    assert mean_average_precision(figures["map_scores"], truth) == pytest.approx(
        float(figures["mAP"]), abs=1e-6
    )


def test_precision_and_recall(figures):
    names = list(figures["map_taglist"])
    first = [names.index(name) for name in dict.fromkeys(names)]  # a tag listed twice counts once
    truth = _truth(figures, figures["map_taglist"][first])
    found = precision_recall(figures["map_scores"][:, first], truth, figures["pr_threshold"])
    assert np.allclose(found.precisions, figures["precisions"], atol=1e-6)
    assert np.allclose(found.recalls, figures["recalls"], atol=1e-6)
    assert found.precision == pytest.approx(float(figures["CP"]), abs=1e-6)
    assert found.recall == pytest.approx(float(figures["CR"]), abs=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_no_other_threshold_gives_a_better_f1(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 12, (40, 1)) / 12
    truth = rng.random((40, 1)) < rng.uniform(0, 0.6)
    chosen = best_thresholds(probabilities, truth)
    tried = [_f1(probabilities, truth, t) for t in np.linspace(0, 1, 97)]
    if truth.any():
        assert _f1(probabilities, truth, chosen) >= max(tried) - 1e-9


def test_recall_at_counts_what_can_be_found():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    truth = np.array([[1, 0], [0, 0], [1, 1]])
    assert recall_at(scores, truth, 1) == 1.0
    assert recall_at(scores, truth, 2) == pytest.approx(0.75)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="must be alike"):
        average_precisions(np.zeros((3, 2)), np.zeros((3, 1)))


def _truth(figures, names):
    shown = [set(line.split(",")) for line in figures["map_truth"]]
    return np.array([[name in tags for name in names] for tags in shown])


def _f1(probabilities, truth, threshold):
    given_ = probabilities > threshold
    return 2 * (given_ & truth).sum() / max(given_.sum() + truth.sum(), 1)
