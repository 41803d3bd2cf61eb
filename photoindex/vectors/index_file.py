"""The pair of files that an index is kept in: FAISS's own, and a sidecar that vouches for it."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from photoindex.aside import beside, sync

FORMAT = 2
_CHUNK = 1 << 20  # bytes checked at a time: they are still in the cache then


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is written beside the index file, and must hold for it to be used.

    generation, last: the state of the analyses that it was made from; newest: the photo of the
    analysis number `last`, newest_checksum: CRC-32 of its embedding; count: embeddings in it;
    size, checksum: bytes and CRC-32 of the file.
    """

    format: int
    kind: str
    model_id: str
    generation: int
    last: int
    newest: int
    newest_checksum: int
    count: int
    size: int
    checksum: int

    @classmethod
    def parse(cls, text: str) -> Sidecar:
        """Raises ValueError when it is not what `Sidecar` wrote."""
        values = json.loads(text)
        types = {"kind": str, "model_id": str}
        if not isinstance(values, dict) or set(values) != {field.name for field in fields(cls)}:
            raise ValueError("the sidecar has other fields")
        for name, value in values.items():
            if type(value) is not types.get(name, int):
                raise ValueError(f"the sidecar's {name} is {value!r}")
        return cls(**values)

    def text(self) -> str:
        """What `parse` reads."""
        return json.dumps(asdict(self), indent=1)


def sidecar_of(path: Path) -> Path:
    """Where the sidecar of an index file lies."""
    return path.with_suffix(".json")


def size_and_checksum(file: BinaryIO) -> tuple[int, int]:
    """(bytes, CRC-32) of an open file; it finds damage, not intent: the folder is its owner's."""
    size = checksum = 0
    chunk = bytearray(_CHUNK)
    view = memoryview(chunk)
    while count := file.readinto(chunk):  # type: ignore[attr-defined]
        size += count
        checksum = zlib.crc32(view[:count], checksum)
    return size, checksum


@contextlib.contextmanager
def put_in_place(path: Path) -> Iterator[tuple[Path, Path]]:
    """Two new files for an index and its sidecar; they replace the old ones at the end.

    Where the block fails, the old ones stay. Between the two renames the sidecar does not fit the
    index, which whoever reads them then finds out by the checksum. Raises OSError.
    """
    prefix = f"{path.stem}-"
    with beside(path, prefix) as file, beside(path, prefix) as card:
        yield file, card
        sync(file)
        sync(card)
        file.replace(path)
        card.replace(sidecar_of(path))
