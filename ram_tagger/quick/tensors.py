"""Weights of a safetensors file, mapped: only what is computed with is ever read.

The format: eight bytes that say how long the header is, the header, a JSON table of names with
type, shape and place, and after it the numbers themselves
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import Floats
from ram_tagger.errors import CheckpointError

_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # NumPy has no such type: the upper half of a float32
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
}
_LENGTH = 8  # bytes before the header


class MappedTensors:
    """The tensors of one file, by name."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError for a file that is lost, cut short or of another kind."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            length = int.from_bytes(self._bytes[:_LENGTH], "little")
            self._start = _LENGTH + length
            self._entries: dict[str, Any] = json.loads(self._bytes[_LENGTH : self._start])
            self._entries.pop("__metadata__", None)
            ends = [entry["data_offsets"][1] for entry in self._entries.values()]
            if self._start + max(ends, default=0) > len(self._bytes):
                raise ValueError("it is cut short")
        except FileNotFoundError as error:
            raise CheckpointError(f"no weights at {path}: convert or import the model") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} cannot be read as a checkpoint: {error}") from error

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises CheckpointError where the file lacks a tensor of this name."""
        return tuple(self._entry(name)["shape"])

    def floats(self, name: str, *shape: int) -> Floats:
        """A tensor of this shape in float32, read-only: mapped, or a copy of what is 16 bit.

        Raises CheckpointError.
        """
        found = self.shape(name)
        if found != shape:
            raise CheckpointError(f"{self.path}: {name} is {found}, needed is {shape}")
        values, kind = self.numbers(name), self._entry(name)["dtype"]
        if kind == "BF16":
            return (values.astype("<u4") << 16).view("<f4")
        if kind not in {"F32", "F16"}:
            raise CheckpointError(f"{self.path}: {name} is {kind}, needed are floats")
        return values.astype(np.float32, copy=False)

    def numbers(self, name: str) -> NDArray[Any]:
        """A tensor as it is stored. Raises CheckpointError."""
        entry = self._entry(name)
        if entry["dtype"] not in _TYPES:
            raise CheckpointError(f"{self.path}: {name} has the unknown type {entry['dtype']}")
        dtype = _TYPES[entry["dtype"]]
        try:
            offset = self._start + entry["data_offsets"][0]
            count = math.prod(entry["shape"])
            flat: NDArray[Any] = np.frombuffer(self._bytes, dtype, count, offset)
            return flat.reshape(entry["shape"])
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self.path}: {name} is damaged: {error}") from error

    def _entry(self, name: str) -> Any:
        if name not in self._entries:
            raise CheckpointError(f"{self.path} lacks {name}: convert or import the model again")
        return self._entries[name]
