"""The vector index on disk: whole, of a model that is in use, and what the catalog says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from photoindex.catalog.checks.derived import analysed_photos
from photoindex.catalog.models import find_model
from photoindex.health.reading import Opened
from photoindex.health.records import Finding, Mend, note, ok, problem
from photoindex.terminal.wording import count, size
from photoindex.vectors.cache import VectorCache
from photoindex.vectors.growth import Growth
from photoindex.vectors.index_file import FORMAT, Sidecar, sidecar_of, size_and_checksum

VECTORS = "vector index"
_SAMPLE = 256
_UNLIKE = 0.98
"""An embedding is nearer than that to what the index holds of it, if only in short form."""
_AGAIN = "it can be made again: --repair does"


def check_vectors(opened: Opened, used: frozenset[str]) -> Iterator[Finding]:
    """The index files in the library's folder. used: the models whose files stay."""
    old = old_files(opened, used)
    if old:
        yield note(
            VECTORS,
            f"of models that are not in use: {', '.join(path.name for path in old)}",
            "--repair deletes them",
            Mend.OLD_VECTORS,
        )
    for model_id in sorted(used):
        path = _cache(opened).path(model_id)
        if path.exists() or sidecar_of(path).exists():
            wrong = _what_is_wrong(opened, path, model_id)
            if wrong is not None:
                yield problem(VECTORS, f"{path.name}: {wrong}", _AGAIN, Mend.VECTORS)
            else:
                yield ok(VECTORS, f"{path.name}, {size(path.stat().st_size)}")
        else:
            yield ok(VECTORS, "not made yet: the first search makes it")


def old_files(opened: Opened, used: frozenset[str]) -> list[Path]:
    """Index files, and what belongs to them, of other models than some."""
    stems = {_cache(opened).path(model_id).stem for model_id in used}
    return sorted(
        path
        for pattern in ("vectors-*.faiss", "vectors-*.json")
        for path in opened.look.folder.glob(pattern)
        if path.stem not in stems
    )


def broken_files(opened: Opened, used: frozenset[str]) -> list[str]:
    """The models whose index has to be made again."""
    paths = {model_id: _cache(opened).path(model_id) for model_id in sorted(used)}
    return [
        model_id
        for model_id, path in paths.items()
        if (path.exists() or sidecar_of(path).exists())
        and _what_is_wrong(opened, path, model_id) is not None
    ]


def _cache(opened: Opened) -> VectorCache:
    return VectorCache(opened.look.folder, opened.catalog.analyses)


def _what_is_wrong(opened: Opened, path: Path, model_id: str) -> str | None:
    try:
        sidecar = Sidecar.parse(sidecar_of(path).read_text("utf-8"))
        if (sidecar.format, sidecar.model_id) != (FORMAT, model_id):
            return "it is of another format or model"
        if path.stat().st_size != sidecar.size:
            return f"{size(path.stat().st_size)} instead of {size(sidecar.size)}"
        if opened.look.quick:
            return None
        opened.look.progress("checking the vector index", 0, None)
        with path.open("rb", buffering=0) as file:
            if size_and_checksum(file) != (sidecar.size, sidecar.checksum):
                return "its checksum differs"
        if opened.catalog.analyses.state(model_id).generation != sidecar.generation:
            return None  # of an earlier state: the next search takes over what is new
        return _what_differs(opened, path, sidecar)
    except (OSError, ValueError) as error:
        return str(error)


def _what_differs(opened: Opened, path: Path, sidecar: Sidecar) -> str | None:
    """What an index of the catalog's own state does not have as the catalog has it."""
    analyses, model_id = opened.catalog.analyses, sidecar.model_id
    with path.open("rb", buffering=0) as file:
        index = Growth().load(sidecar.kind, file, lambda ids: analyses.embeddings_of(model_id, ids))
    with opened.database.read() as connection:
        model = find_model(connection, model_id)
        there = analysed_photos(connection, -1 if model is None else model)
    differing = np.setxor1d(index.ids(), there)
    if len(differing):
        return f"{count(len(differing), 'photo')} of the index or the catalog alone"
    ids, embeddings = analyses.embeddings_of(model_id, there[:: max(1, len(there) // _SAMPLE)])
    near = [
        float(index.estimates(embeddings[row : row + 1], ids[row : row + 1])[0, 0])
        for row in range(len(ids))
    ]
    unlike = sum(not similarity > _UNLIKE for similarity in near)
    return f"{unlike} of {len(ids)} embeddings are others" if unlike else None
