"""Made embeddings that lie as CLIP's do: pictures in a cone, texts in another one beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import Floats, Ids

WIDTH = 512
_BLOCK = 50_000
_DECAY = 0.35  # of the spread from one direction to the next: a hundred or so matter
_AREAS = 300  # "animals", "food": what subjects have in common
_PHOTOS_A_SUBJECT, _PHOTOS_A_MOMENT = 50, 8
# Parts of a picture, beside a cone of length 1; two pictures of nothing in common: cosine 0.57
_AREA, _SUBJECT, _MOMENT, _OWN = 0.45, 0.45, 0.42, 0.42
# Parts of a text: cosine 0.3 with what it asks for, 0.13 with anything else
_ASKED, _WORDING = 0.62, 0.5
_BETWEEN_CONES = 0.2  # cosine of the two axes: the modality gap


@dataclass(frozen=True, slots=True)
class ClipLike:
    """A library of made pictures: (photos, 512) float32, unit length.

    Every photo shows one subject of an area, at one moment; sizes of subjects follow Zipf's law.
    subject: (photos,) int64; means: (subjects, 512), area and subject together.
    """

    embeddings: Floats
    subject: NDArray[np.int64]
    means: Floats
    axes: Floats  # of the pictures' and of the texts' cone
    turn: Floats

    @classmethod
    def draw(cls, photos: int, seed: int = 0) -> ClipLike:
        rng = np.random.default_rng(seed)
        turn = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32)
        axes = _unit(rng.standard_normal((2, WIDTH)).astype(np.float32))
        across = _unit(axes[1] - axes[1] @ axes[0] * axes[0])
        axes[1] = _BETWEEN_CONES * axes[0] + np.sqrt(1 - _BETWEEN_CONES**2) * across
        subjects = max(10, photos // _PHOTOS_A_SUBJECT)
        areas = _AREA * _spread(rng, _AREAS)[rng.integers(_AREAS, size=subjects)]
        means = (areas + _SUBJECT * _spread(rng, subjects)) @ turn
        weights = 1 / np.arange(3, subjects + 3)
        moments = max(1, photos // _PHOTOS_A_MOMENT)
        shown = np.sort(rng.choice(subjects, moments, p=weights / weights.sum()))
        moment = _MOMENT * _spread(rng, moments) @ turn + means[shown]
        when = rng.integers(moments, size=photos)
        embeddings = np.empty((photos, WIDTH), dtype=np.float32)
        for at in range(0, photos, _BLOCK):
            seen = moment[when[at : at + _BLOCK]]
            embeddings[at : at + _BLOCK] = _pictures(rng, axes, seen, turn)
        return cls(embeddings, shown[when], means, axes, turn)

    @property
    def ids(self) -> Ids:
        return np.arange(1, len(self.embeddings) + 1)

    def pictures(self, count: int, seed: int) -> Floats:
        """(count, 512) pictures that the library does not hold, of subjects that it shows."""
        rng = np.random.default_rng([seed, 1])
        shown = self.means[rng.choice(self.subject, count)]
        moment = shown + _MOMENT * _spread(rng, count) @ self.turn
        return _pictures(rng, self.axes, moment, self.turn)

    def texts(self, count: int, descriptions: int, seed: int, spread: float = 1.0) -> Floats:
        """(count, descriptions, 512): each text described in several ways, of cosine 0.9.

        spread: how many times as far from their mean as that. Three of four ask for a subject of
        the library, the rest for something that it lacks.
        """
        rng = np.random.default_rng([seed, 2])
        asked = self.means[rng.integers(len(self.means), size=count)]
        asked[::4] = (_AREA + _SUBJECT) / np.sqrt(2) * _spread(rng, len(asked[::4])) @ self.turn
        common, each = _spread(rng, count), _spread(rng, count * descriptions)
        wording = (common[:, None] + each.reshape(count, descriptions, WIDTH)) / np.sqrt(2)
        rows = _unit(self.axes[1] + _ASKED * asked[:, None] + _WORDING * (wording @ self.turn))
        mean = rows.mean(axis=1, keepdims=True)
        return _unit(mean + spread * (rows - mean))


def _pictures(rng: np.random.Generator, axes: Floats, moment: Floats, turn: Floats) -> Floats:
    return _unit(axes[0] + moment + _OWN * (_spread(rng, len(moment)) @ turn))


def _spread(rng: np.random.Generator, count: int) -> Floats:
    """(count, 512) of length about 1, spread over some directions more than over others."""
    scale = np.arange(1, WIDTH + 1, dtype=np.float32) ** -_DECAY
    scale /= np.linalg.norm(scale)
    return np.asarray(rng.standard_normal((count, WIDTH), dtype=np.float32) * scale)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)
