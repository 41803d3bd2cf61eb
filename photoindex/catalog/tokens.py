"""Arrays at rest: how embeddings and image tokens become bytes and come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from photoindex.tagger import Floats, ImageTokens


def pack_floats(values: Floats) -> bytes:
    """Any shape, float32, to little-endian bytes, exactly."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def unpack_floats(blob: bytes, width: int) -> Floats:
    """(rows, width) float32."""
    return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False).reshape(-1, width)


def unpack_embeddings(blobs: Sequence[bytes], width: int) -> Floats:
    """(len(blobs), width) float32, one embedding a blob."""
    return unpack_floats(b"".join(blobs), width)


def pack_tokens(tokens: ImageTokens) -> tuple[bytes, bytes, int]:
    """(values, scales, width) as the table has them: 145 tokens of 512 take 74,820 bytes."""
    values = np.ascontiguousarray(tokens.values, dtype=np.int8)
    return values.tobytes(), pack_floats(tokens.scales), values.shape[1]


def unpack_tokens(values: bytes, scales: bytes, width: int) -> ImageTokens:
    """The image tokens exactly as they were packed."""
    return ImageTokens(
        np.frombuffer(values, dtype=np.int8).reshape(-1, width),
        np.frombuffer(scales, dtype="<f4").astype(np.float32, copy=False),
    )
