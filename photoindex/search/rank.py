"""What may order the photos that a free text finds; apart, so that it costs no import."""

from __future__ import annotations

from enum import StrEnum


class Rank(StrEnum):
    """Which evidence orders free-text hits."""

    CLIP = "clip"
    DECODER = "decoder"
    FUSED = "fused"
