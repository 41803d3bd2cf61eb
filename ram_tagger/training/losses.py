"""The three losses of RAM++ (arXiv 2310.15200, section 3.1; asymmetric loss: arXiv 2009.14119)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-8
"""Keeps logarithms finite, as in the published implementation."""


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    gamma_negative: float = 7.0,
    gamma_positive: float = 0.0,
    clip: float = 0.05,
    counted: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy that soon loses interest in easy negatives; the sum over all entries.

    logits: (pictures, labels); targets: the same shape, 0 or 1; clip: the probability that a
    negative is granted for free; counted: bool, the entries that take part (all of them).
    The focusing weights carry no gradient, as in the published training.
    """
    positive = torch.sigmoid(logits)
    negative = 1 - positive
    if clip > 0:
        negative = (negative + clip).clamp(max=1)
    likelihood = targets * positive.clamp(min=EPSILON).log()
    likelihood = likelihood + (1 - targets) * negative.clamp(min=EPSILON).log()
    if gamma_negative > 0 or gamma_positive > 0:
        with torch.no_grad():
            missed = 1 - positive * targets - negative * (1 - targets)
            weight = missed.pow(gamma_positive * targets + gamma_negative * (1 - targets))
        likelihood = likelihood * weight
    if counted is not None:
        likelihood = likelihood * counted
    return -likelihood.sum()


def tagging_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Image-tag loss of (pictures, labels) logits; a sum."""
    return asymmetric_loss(logits, targets, gamma_negative=7.0)


def keeping_loss(logits: Tensor, believed: Tensor) -> Tensor:
    """How far (pictures, labels) logits are from what another network believes; a sum.

    believed: the same shape, probabilities. The Kullback-Leibler divergence of both, label by
    label: 0 where they agree (learning without forgetting, arXiv 1606.09282).
    """
    cross = F.binary_cross_entropy_with_logits(logits, believed, reduction="sum")
    own = F.binary_cross_entropy_with_logits(believed.logit(1e-6), believed, reduction="sum")
    return cross - own


def alignment_loss(logits: Tensor, own: Tensor, holds: Tensor | None = None) -> Tensor:
    """Image-text loss over a batch: each picture's own texts are right, the others wrong; a sum.

    logits: (pictures, texts); own: bool, which texts were written for which picture; holds: bool,
    which texts are true of which picture. A text that happens to hold for a picture it was not
    written for counts neither way.
    """
    counted = None if holds is None else own | ~holds
    return asymmetric_loss(logits, own.to(logits.dtype), gamma_negative=4.0, counted=counted)


def distillation_loss(tokens: Tensor, clip_embeddings: Tensor) -> Tensor:
    """Mean absolute difference of the mean token and CLIP's embedding of the same picture.

    tokens: (pictures, 1 + patches, width); clip_embeddings: (pictures, width), in the published
    training of CLIP's own length.
    """
    return F.l1_loss(tokens[:, 0], clip_embeddings)
