"""The vector index on disk: a cache that the catalog can always make again, and overrules."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np

from photoindex.tagger import Floats, Ids, Progress
from photoindex.vectors.faiss_index import FaissIndex

FORMAT = 1
BUILDING = "building the vector index"
_CHUNK = 1 << 22  # bytes checked at a time
_BETWEEN_RENAMES = 0.1  # seconds, at most, from an index to its sidecar
_ATTEMPTS = 3
_ABANDONED = 24 * 3600  # seconds after which a half-written file is nobody's
_log = logging.getLogger(__name__)


class State(Protocol):
    """How far a model's analyses have come (see the catalog's AnalysisState)."""

    @property
    def generation(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def last(self) -> int: ...


class Block(Protocol):
    """Some embeddings in the order of their analyses: ids (n,), embeddings (n, d)."""

    @property
    def ids(self) -> Ids: ...
    @property
    def embeddings(self) -> Floats: ...
    @property
    def last(self) -> int: ...


class EmbeddingSource(Protocol):
    """Where the truth is; the catalog's analyses are one."""

    def state(self, model_id: str) -> State: ...
    def photo_ids(self, model_id: str) -> Ids: ...
    def embeddings(self, model_id: str, after: int = 0) -> Iterator[Block]: ...


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is written beside the index file, and must hold for it to be used.

    generation, last: the state of the analyses that it was made from; newest: the photo of the
    analysis number `last`; count: embeddings in it; size, checksum: bytes and CRC-32 of the file.
    """

    format: int
    kind: str
    model_id: str
    generation: int
    last: int
    newest: int
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


@dataclass(slots=True)
class _Held:
    """An index in memory, and how far into the analyses it goes."""

    index: FaissIndex
    generation: int = 0
    last: int = 0
    newest: int = 0


class VectorCache:
    """One index file a model in a folder, brought up to date with the catalog when opened."""

    def __init__(
        self, folder: Path, source: EmbeddingSource, kept: Collection[str] | None = None
    ) -> None:
        """kept: the models whose files stay when another one's is saved; None for all."""
        self._folder = folder
        self._source = source
        self._kept = kept

    def open(self, model_id: str, progress: Progress | None = None) -> FaissIndex:
        """The index of a model's embeddings as the catalog has them now.

        From the file where that is whole, with what was added and removed since; else from the
        catalog alone. Where more than a hundredth was new, the file is written again.
        """
        state = self._source.state(model_id)
        held = self._load(model_id)
        if held is not None and held.generation == state.generation:
            return held.index
        changed = None if held is None else self._catch_up(held, model_id, state)
        if held is None or changed is None:
            held, changed = self._rebuild(model_id, state, progress), state.count
        held.generation = state.generation
        if changed and changed * 100 >= len(held.index):
            self._save(held, model_id)
        return held.index

    def path(self, model_id: str) -> Path:
        """The index file of a model; beside it lies a `.json` of the same name."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", model_id)[:60]
        digest = hashlib.blake2b(model_id.encode(), digest_size=4).hexdigest()
        return self._folder / f"vectors-{readable}-{digest}.faiss"

    def _load(self, model_id: str) -> _Held | None:
        """What the file holds, None where it is missing or not whole."""
        path = self.path(model_id)
        sidecar = path.with_suffix(".json")
        while True:
            try:
                text = sidecar.read_text("utf-8")
            except FileNotFoundError:
                return None
            except (OSError, UnicodeDecodeError) as error:
                _log.warning("%s cannot be read, building it again: %s", sidecar, _reason(error))
                return None
            try:
                return _checked(path, Sidecar.parse(text), model_id)
            except (OSError, ValueError) as error:
                time.sleep(_BETWEEN_RENAMES)
                if _text_of(sidecar) != text:
                    continue  # another process has just put a newer pair in place
                if not isinstance(error, FileNotFoundError):
                    _log.warning("%s is not used, building it again: %s", path, _reason(error))
                return None

    def _catch_up(self, held: _Held, model_id: str, state: State) -> int | None:
        """Take over what changed since the index was saved. Returns how much that was.

        None when the catalog no longer has the analysis that the index ends with: then its
        history is another one (a restored backup, say), or that photo is gone, and nothing
        tells what else differs.
        """
        if not _continues(held, self._source.embeddings(model_id, after=held.last - 1)):
            return None
        changed = 0
        for _ in range(_ATTEMPTS):
            changed += self._add(held, self._source.embeddings(model_id, after=held.last))
            if len(held.index) == state.count:
                return changed
            there = self._source.photo_ids(model_id)
            changed += held.index.remove(np.setdiff1d(held.index.ids(), there))
            if len(held.index) == len(there):
                return changed
            state = self._source.state(model_id)  # somebody records photos all the while
        return None

    def _rebuild(self, model_id: str, state: State, progress: Progress | None) -> _Held:
        held = _Held(FaissIndex())
        for block in self._source.embeddings(model_id):
            self._add(held, [block])
            if progress is not None:
                progress(BUILDING, len(held.index), max(len(held.index), state.count))
        return held

    def _add(self, held: _Held, blocks: Iterable[Block]) -> int:
        added = 0
        for block in blocks:
            held.index.add(block.ids, block.embeddings)
            held.last, held.newest = block.last, int(block.ids[-1])
            added += len(block.ids)
        return added

    def _save(self, held: _Held, model_id: str) -> None:
        """Put index and sidecar in place of the old ones; without them nothing is lost."""
        path = self.path(model_id)
        try:
            self._clear_abandoned()
            with _aside(path) as file, _aside(path.with_suffix(".json")) as card:
                held.index.save(file)
                size, checksum = _sum(file)
                sidecar = Sidecar(
                    FORMAT,
                    FaissIndex.kind,
                    model_id,
                    held.generation,
                    held.last,
                    held.newest,
                    len(held.index),
                    size,
                    checksum,
                )
                card.write_text(json.dumps(asdict(sidecar), indent=1), "utf-8")
                _to_disk(file)
                _to_disk(card)
                file.replace(path)
                card.replace(path.with_suffix(".json"))
            self._clear_others(model_id)
        except OSError as error:
            _log.warning(
                "%s cannot be saved, the next search makes it again: %s", path, _reason(error)
            )

    def _clear_others(self, model_id: str) -> None:
        """The files of models that are not kept, the sidecar first: alone it would be damage."""
        if self._kept is None:
            return
        kept = {self.path(model).stem for model in (*self._kept, model_id)}
        for suffix in (".json", ".faiss"):
            for file in self._folder.glob(f"vectors-*{suffix}"):
                if file.stem not in kept:
                    file.unlink(missing_ok=True)

    def _clear_abandoned(self) -> None:
        for left in self._folder.glob("vectors-*.aside"):
            if left.stat().st_mtime < time.time() - _ABANDONED:
                left.unlink(missing_ok=True)


def _checked(path: Path, sidecar: Sidecar, model_id: str) -> _Held:
    """Load an index that is exactly what its sidecar says. Raises ValueError, OSError."""
    if (sidecar.format, sidecar.kind) != (FORMAT, FaissIndex.kind):
        raise ValueError("it is of another kind")
    if sidecar.model_id != model_id:
        raise ValueError(f"it is of the model {sidecar.model_id}")
    if _sum(path) != (sidecar.size, sidecar.checksum):
        raise ValueError("it is damaged (its checksum differs)")
    index = FaissIndex.load(path) if sidecar.size else FaissIndex()
    if len(index) != sidecar.count:
        raise ValueError(f"it holds {len(index)} embeddings, not {sidecar.count}")
    return _Held(index, sidecar.generation, sidecar.last, sidecar.newest)


def _continues(held: _Held, blocks: Iterator[Block]) -> bool:
    """Whether the blocks begin with the very analysis that the index ends with."""
    first = next(blocks, None)
    if first is None or int(first.ids[0]) != held.newest:
        return False
    if held.newest not in held.index.ids():
        return False
    return np.array_equal(held.index.embeddings([held.newest])[0], first.embeddings[0])


def _sum(path: Path) -> tuple[int, int]:
    """(bytes, CRC-32) of a file; it finds damage, not intent: the folder is its owner's alone."""
    size = checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    return size, checksum


def _reason(error: OSError | ValueError) -> str:
    """Why, without the path that a system error repeats."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _text_of(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text("utf-8")
    return None


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A new file beside `path`, private to its owner, removed unless it is moved away."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".aside")
    os.close(number)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
