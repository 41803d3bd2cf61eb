"""The functions between matrix products, in float32 and, where they can, in place."""

from __future__ import annotations

import numpy as np

from photoindex.tagger import Floats

_SLICE = 1 << 15
"""Numbers worked on at a time: the steps of one function then stay in the processor's cache."""

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
_STEP = np.float32(0.3275911)
_TERMS = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))


def layer_norm(x: Floats, weight: Floats, bias: Floats, epsilon: float) -> Floats:
    """(…, width) brought to mean 0 and variance 1 along the last axis, then scaled and shifted."""
    centred: Floats = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", centred, centred)[..., None] / np.float32(x.shape[-1])
    centred /= np.sqrt(variance + np.float32(epsilon))
    centred *= weight
    centred += bias
    return centred


def softmax(x: Floats) -> Floats:
    """Along the last axis, in place."""
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


def gelu(x: Floats) -> Floats:
    """x · Φ(x), in place; x must lie together in memory.

    Φ by a rational approximation of erf: the result is within 1e-6 of the exact one (and within
    2e-7 times x).
    """
    for part in _slices(x):
        scaled = np.abs(part) * np.float32(0.5**0.5)
        t = np.float32(1) / (np.float32(1) + _STEP * scaled)
        tail = t * _TERMS[0]
        for term in _TERMS[1:]:
            tail += term
            tail *= t
        np.multiply(scaled, scaled, out=scaled)
        np.negative(scaled, out=scaled)
        tail *= np.exp(scaled, out=scaled)  # 1 - erf(|x| / √2), twice the area beyond |x|
        tail *= np.abs(part)
        tail *= np.float32(0.5)
        np.maximum(part, np.float32(0), out=part)
        part -= tail
    return x


def quick_gelu(x: Floats) -> Floats:
    """x · sigmoid(1.702 x), in place; x must lie together in memory."""
    for part in _slices(x):
        scale = sigmoid(part * np.float32(1.702))
        part *= scale
    return x


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), in place; by tanh, which does not overflow."""
    x *= np.float32(0.5)
    np.tanh(x, out=x)
    x *= np.float32(0.5)
    x += np.float32(0.5)
    return x


def _slices(x: Floats) -> list[Floats]:
    flat = x.reshape(-1)
    return [flat[start : start + _SLICE] for start in range(0, len(flat), _SLICE)]
