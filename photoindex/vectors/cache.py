"""The vector index on disk: a cache that the catalog can always make again, and overrules."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from photoindex.aside import SUFFIX, abandoned
from photoindex.tagger import AnyIds, Floats, Ids, Progress, no_progress
from photoindex.vectors.base import Exact
from photoindex.vectors.flat import FlatIndex
from photoindex.vectors.growth import AnyIndex, Growth
from photoindex.vectors.index_file import (
    FORMAT,
    Sidecar,
    put_in_place,
    sidecar_of,
    size_and_checksum,
)
from photoindex.vectors.inverted import InvertedIndex

BUILDING = "building the vector index"
SAMPLING = "reading a sample of embeddings"
_SAMPLED_AT_ONCE = 4096
_BETWEEN_RENAMES = 0.1  # seconds, at most, from an index to its sidecar
_ATTEMPTS = 3
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
    def embeddings_of(self, model_id: str, photo_ids: AnyIds) -> tuple[Ids, Floats]: ...


@dataclass(slots=True)
class _Held:
    """An index in memory, and how far into the analyses it goes."""

    index: AnyIndex
    generation: int = 0
    last: int = 0
    newest: int = 0
    newest_checksum: int = 0


class VectorCache:
    """One index file a model in a folder, brought up to date with the catalog when opened."""

    def __init__(
        self,
        folder: Path,
        source: EmbeddingSource,
        kept: Collection[str] | None = None,
        growth: Growth | None = None,
    ) -> None:
        """kept: the models whose files stay when another one's is saved; None for all."""
        self._folder = folder
        self._source = source
        self._kept = kept
        self._growth = growth or Growth()

    def open(self, model_id: str, progress: Progress | None = None) -> AnyIndex:
        """The index of a model's embeddings as the catalog has them now.

        From the file where that is whole, with what was added and removed since; else from the
        catalog alone. Where more than a hundredth was new, the file is written again; an index
        that has been outgrown is then made anew, of the kind that suits the library's size.
        """
        progress = progress or no_progress
        state = self._source.state(model_id)
        held = self._load(model_id)
        if held is not None and held.generation == state.generation:
            return held.index
        changed = None if held is None else self._catch_up(held, model_id, state)
        if held is not None and changed is not None:
            held.generation = state.generation
            if not changed or changed * 100 < len(held.index):
                return held.index
        if held is None or changed is None or self._growth.outgrown(held.index):
            del held  # two at once may be more than memory holds
            held = self._rebuild(model_id, self._source.state(model_id), progress)
        if len(held.index):
            self._save(held, model_id)
        return held.index

    def is_current(self, model_id: str) -> bool:
        """Whether the file is of the catalog's present state, going by its sidecar alone."""
        path = self.path(model_id)
        try:
            sidecar = Sidecar.parse(sidecar_of(path).read_text("utf-8"))
            whole = path.stat().st_size == sidecar.size
        except (OSError, ValueError):
            return False
        now = self._source.state(model_id).generation
        return whole and (sidecar.model_id, sidecar.generation) == (model_id, now)

    def path(self, model_id: str) -> Path:
        """The index file of a model; beside it lies a `.json` of the same name."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", model_id)[:60]
        digest = hashlib.blake2b(model_id.encode(), digest_size=4).hexdigest()
        return self._folder / f"vectors-{readable}-{digest}.faiss"

    def _load(self, model_id: str) -> _Held | None:
        """What the file holds, None where it is missing or not whole."""
        path = self.path(model_id)
        sidecar = sidecar_of(path)
        while True:
            try:
                text = sidecar.read_text("utf-8")
            except FileNotFoundError:
                return None
            except (OSError, UnicodeDecodeError) as error:
                _log.warning("%s cannot be read, building it again: %s", sidecar, _reason(error))
                return None
            try:
                return self._checked(path, Sidecar.parse(text), model_id)
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

    def _rebuild(self, model_id: str, state: State, progress: Progress) -> _Held:
        held = _Held(self._empty(model_id, state.count, progress), state.generation)
        for block in self._source.embeddings(model_id):
            self._add(held, [block])
            progress(BUILDING, len(held.index), max(len(held.index), state.count))
        return held

    def _empty(self, model_id: str, photos: int, progress: Progress) -> AnyIndex:
        """An index without photos, of the kind that suits so many."""
        lists = self._growth.lists(photos)
        if not lists:
            return FlatIndex()
        there = self._source.photo_ids(model_id)
        there = there[:: max(1, len(there) // (lists * self._growth.sample_a_list))]
        sample: list[Floats] = []
        for at in range(0, len(there), _SAMPLED_AT_ONCE):
            progress(SAMPLING, at, len(there))
            asked = there[at : at + _SAMPLED_AT_ONCE]
            sample.append(self._source.embeddings_of(model_id, asked)[1])
        sample = [block for block in sample if len(block)]
        if not sample:  # purged meanwhile
            return FlatIndex()
        rows = np.concatenate(sample)
        del sample
        lists, exact = min(lists, len(rows)), self._exact(model_id)
        return InvertedIndex.train(rows, lists, exact, progress, self._growth.read)

    def _exact(self, model_id: str) -> Exact:
        return lambda photo_ids: self._source.embeddings_of(model_id, photo_ids)

    def _add(self, held: _Held, blocks: Iterable[Block]) -> int:
        added = 0
        for block in blocks:
            held.index.add(block.ids, block.embeddings)
            held.last, held.newest = block.last, int(block.ids[-1])
            held.newest_checksum = _checksum(block.embeddings[-1])
            added += len(block.ids)
        return added

    def _checked(self, path: Path, sidecar: Sidecar, model_id: str) -> _Held:
        """Load an index that is exactly what its sidecar says. Raises ValueError, OSError."""
        if sidecar.format != FORMAT:
            raise ValueError("it is of another format")
        if sidecar.model_id != model_id:
            raise ValueError(f"it is of the model {sidecar.model_id}")
        with path.open("rb", buffering=0) as file:  # the same one, whatever is put in its place
            if size_and_checksum(file) != (sidecar.size, sidecar.checksum):
                raise ValueError("it is damaged (its checksum differs)")
            file.seek(0)
            index = self._growth.load(sidecar.kind, file, self._exact(model_id))
        if len(index) != sidecar.count:
            raise ValueError(f"it holds {len(index)} embeddings, not {sidecar.count}")
        return _Held(
            index, sidecar.generation, sidecar.last, sidecar.newest, sidecar.newest_checksum
        )

    def _save(self, held: _Held, model_id: str) -> None:
        """Put index and sidecar in place of the old ones; without them nothing is lost."""
        path = self.path(model_id)
        try:
            for left in abandoned(self._folder, f"vectors-*{SUFFIX}"):
                left.unlink(missing_ok=True)
            with put_in_place(path) as (file, card):
                with file.open("wb") as writing:
                    held.index.save(writing)
                with file.open("rb", buffering=0) as written:
                    size, checksum = size_and_checksum(written)
                sidecar = Sidecar(
                    FORMAT,
                    held.index.kind,
                    model_id,
                    held.generation,
                    held.last,
                    held.newest,
                    held.newest_checksum,
                    len(held.index),
                    size,
                    checksum,
                )
                card.write_text(sidecar.text(), "utf-8")
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


def _continues(held: _Held, blocks: Iterator[Block]) -> bool:
    """Whether the blocks begin with the very analysis that the index ends with."""
    first = next(blocks, None)
    if first is None or int(first.ids[0]) != held.newest:
        return False
    return _checksum(first.embeddings[0]) == held.newest_checksum


def _checksum(embedding: Floats) -> int:
    return zlib.crc32(np.ascontiguousarray(embedding, dtype=np.float32).tobytes())


def _reason(error: OSError | ValueError) -> str:
    """Why, without the path that a system error repeats."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _text_of(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text("utf-8")
    return None
