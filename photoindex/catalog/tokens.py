"""Arrays at rest: how embeddings and image tokens become bytes and come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from photoindex.tagger import Floats, ImageTokens


def pack_floats(values: Floats) -> bytes:
    """Any shape, float32, to little-endian bytes, exactly."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def unpack_floats(blob: bytes | bytearray, width: int) -> Floats:
    """(rows, width) float32."""
    numbers = np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)
    return numbers.reshape(len(numbers) // width if width else 0, width)


def unpack_embeddings(blobs: Sequence[bytes]) -> Floats:
    """(len(blobs), d) float32, one embedding a blob; d is 0 where there is none."""
    return unpack_floats(bytearray().join(blobs), len(blobs[0]) // 4 if blobs else 0)


def pack_tokens(tokens: ImageTokens) -> tuple[bytes, bytes, int]:
    """(values, scales, width) as the table has them: 145 tokens of 512 take 74,820 bytes."""
    values = np.ascontiguousarray(tokens.values, dtype=np.int8)
    return values.tobytes(), pack_floats(tokens.scales), values.shape[1]


def unpack_tokens(values: bytes, scales: bytes, width: int) -> ImageTokens:
    """The image tokens of one photo exactly as they were packed."""
    return ImageTokens(
        np.frombuffer(values, dtype=np.int8).reshape(-1, width),
        np.frombuffer(scales, dtype="<f4").astype(np.float32, copy=False),
    )


def unpack_token_block(values: Sequence[bytes], scales: Sequence[bytes], width: int) -> ImageTokens:
    """The image tokens of several photos of one model: (photos, tokens, width)."""
    count = len(scales[0]) // 4
    floats = np.frombuffer(bytearray().join(scales), dtype="<f4").astype(np.float32, copy=False)
    numbers = np.frombuffer(bytearray().join(values), dtype=np.int8)
    return ImageTokens(
        numbers.reshape(len(values), count, width), floats.reshape(len(values), count)
    )
