"""What the library answers, as JSON for programs: one document a command, keys that stay.

`watch`, which goes on, prints a document a line instead.

A path that is UTF-8 stands in "path" as it is, and "path_bytes" is null. Any other has its odd
bytes as `\\xNN` in "path", and the exact bytes in base64 in "path_bytes".
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoindex.terminal.wording import is_utf8, shown

if TYPE_CHECKING:
    from photoindex.analysis.installed import ModelState
    from photoindex.analysis.tally import Tally
    from photoindex.catalog.records import (
        ConceptRecord,
        FileRecord,
        FolderRecord,
        PhotoRecord,
        PhotoTag,
        Status,
        TagCount,
    )
    from photoindex.search.results import Hit, SearchResult

Document = dict[str, Any]


def path(of: Path) -> Document:
    """A path whatever its bytes are."""
    if is_utf8(of):
        return {"path": str(of), "path_bytes": None}
    return {
        "path": shown(of),
        "path_bytes": base64.b64encode(os.fsencode(of)).decode("ascii"),
    }


def photo(record: PhotoRecord) -> Document:
    """A photo's facts and all files that hold it, the first of them in "path"."""
    facts, metadata = record.facts, record.facts.metadata
    first = path(record.files[0]) if record.files else {"path": None, "path_bytes": None}
    return {
        **first,
        "files": [path(file) for file in record.files],
        "hash": facts.hash,
        "bytes": facts.size,
        "width": facts.width,
        "height": facts.height,
        "format": facts.format,
        "taken_at": metadata.taken_at.isoformat() if metadata.taken_at else None,
        "camera": metadata.camera,
        "latitude": metadata.latitude,
        "longitude": metadata.longitude,
    }


def photo_tag(tag: PhotoTag) -> Document:
    """What one source says of one photo."""
    return {
        "name": tag.name,
        "zh": tag.name_zh,
        "probability": tag.probability,
        "threshold": tag.threshold,
        "source": tag.source.value,
        "model": tag.model_id,
    }


def search(query: str, like: Path | None, rank: str, result: SearchResult) -> Document:
    """A search: what was asked, how it was understood, what was found."""
    return {
        "query": query,
        "like": None if like is None else path(like),
        "rank": rank,
        "understood": {"tags": list(result.tags), "concept": result.concept},
        "found": result.found,
        "below_cut": result.below,
        "hits": [_hit(hit) for hit in result.hits],
    }


def _hit(hit: Hit) -> Document:
    evidence = hit.evidence
    return {
        **photo(hit.photo),
        "score": hit.score,
        "relevant": hit.relevant,
        "tags": [photo_tag(tag) for tag in hit.matching],
        "evidence": {
            "similarity": evidence.similarity,
            "noise_floor": evidence.noise_floor,
            "standing": evidence.standing,
            "probability": evidence.probability,
            "usual_probability": evidence.usual_probability,
            "tag_probability": evidence.tag_probability,
        },
    }


def tag_counts(counts: Sequence[TagCount]) -> Document:
    """The library's tags."""
    return {
        "tags": [
            {"name": item.tag.name, "zh": item.tag.name_zh, "photos": item.photos}
            for item in counts
        ]
    }


def photo_tags(record: PhotoRecord, tags: Sequence[PhotoTag]) -> Document:
    """One photo and its tags."""
    return {**photo(record), "tags": [photo_tag(tag) for tag in tags]}


def forgotten(folder: Path, files: int) -> Document:
    """A folder that is watched no more, and how many files went with it."""
    return {"folder": path(folder), "files": files}


def tagged(name: str, photos: Sequence[Path]) -> Document:
    """A tag and the files of the photos that it was given to or taken off."""
    return {"tag": name, "photos": [path(file) for file in photos]}


def concept(record: ConceptRecord) -> Document:
    """A stored concept."""
    return {
        "name": record.concept.name,
        "zh": record.concept.name_zh,
        "descriptions": list(record.concept.descriptions),
        "threshold": record.concept.threshold,
        "matched": record.matched,
        "scored": record.scored,
    }


def concepts(records: Sequence[ConceptRecord]) -> Document:
    """All stored concepts."""
    return {"concepts": [concept(record) for record in records]}


def failures(records: Sequence[FileRecord]) -> Document:
    """Files that cannot be read."""
    return {"failures": [{**path(record.path), "reason": record.failure} for record in records]}


def status(figures: Status, folders: Sequence[FolderRecord], library: Path) -> Document:
    """Figures about the library."""
    return {
        "library": path(library),
        "folders": [{**path(folder.path), "online": folder.online} for folder in folders],
        "photos": figures.photos,
        "files": _by_state(figures.files),
        "failures": figures.failures,
        "models": [
            {
                "name": model.name,
                "model": model.model_id,
                "analyses": model.analyses,
                "active": model.active,
            }
            for model in figures.models
        ],
        "awaiting": figures.awaiting,
        "tags": figures.tags,
        "concepts": figures.concepts,
        "database_bytes": figures.database_bytes,
        "token_bytes": figures.token_bytes,
    }


def _by_state(files: Mapping[Any, int]) -> dict[str, int]:
    return {state: files.get(state, 0) for state in ("present", "offline", "deleted")}


def tally(done: Tally) -> Document:
    """What became of the files of a run, by number."""
    return asdict(done)


def change(done: Tally, at: datetime) -> Document:
    """What a settled change led to, and when."""
    return {"at": at.isoformat(timespec="seconds"), **tally(done)}


def model(state: ModelState) -> Document:
    """A model that is here or could be."""
    return {
        "name": state.name,
        "summary": state.summary,
        "folder": None if state.folder is None else path(state.folder),
        "bytes": state.size,
    }


def models(states: Sequence[ModelState], default: str) -> Document:
    """Models that are here or could be."""
    return {"default": default, "models": [model(state) for state in states]}
