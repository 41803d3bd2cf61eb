"""Backups, exports and imports as JSON for programs: keys that stay (see documents)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.cli import documents
from photoindex.cli.documents import Document

if TYPE_CHECKING:
    from photoindex.exchange.backup import BackupNote
    from photoindex.exchange.export import Exported, ExportedPhoto
    from photoindex.exchange.sidecar_export import SidecarChange
    from photoindex.exchange.tag_import import ImportTally

EXPORT_FORMAT = 1


def backup(file: Path, note: BackupNote) -> Document:
    """A backup: where it is, and what it says of itself."""
    return {"file": documents.path(file), **_note(note)}


def restored(file: Path, library: Path, note: BackupNote, model_here: bool) -> Document:
    """A library that a backup was put in the place of."""
    return {
        "file": documents.path(file),
        "library": documents.path(library),
        **_note(note),
        "model_here": model_here,
    }


def _note(note: BackupNote) -> Document:
    return {
        "made_at": note.made_at.isoformat(),
        "version": note.version,
        "photos": note.photos,
        "model": note.model,
        "model_id": note.model_id,
        "bytes": note.bytes,
    }


def exported(file: Path, photos: int) -> Document:
    """A file that was exported into."""
    return {"file": documents.path(file), "photos": photos}


def record(of: Exported) -> Document:
    """One line of an export; "record" says what it is of."""
    from photoindex.catalog.records import ConceptRecord
    from photoindex.exchange.export import ExportedPhoto, LibraryExport

    if isinstance(of, ExportedPhoto):
        return {"record": "photo", **_photo(of)}
    if isinstance(of, LibraryExport):
        return {
            "record": "library",
            "format": EXPORT_FORMAT,
            "version": of.version,
            "exported_at": of.exported_at.isoformat(),
            "models": [
                {"name": model.name, "model": model.model_id, "active": model.active}
                for model in of.models
            ],
        }
    if isinstance(of, ConceptRecord):
        return {"record": "concept", **documents.concept(of)}
    return {"record": "folder", **documents.path(of.path), "online": of.online}


def _photo(of: ExportedPhoto) -> Document:
    document = {
        **documents.photo(of.photo),
        "tags": [{**documents.photo_tag(item.tag), "shown": item.shown} for item in of.tags],
    }
    if of.embedding is not None:
        little = of.embedding.astype("<f4").tobytes()
        document["embedding"] = {
            "model": of.model_id,
            "float32": base64.b64encode(little).decode("ascii"),
        }
    return document


def sidecars(
    figures: Mapping[str, int], listed: Sequence[SidecarChange], dry_run: bool
) -> Document:
    """What became of sidecars, or would: failures, and in a dry run every change."""
    return {
        "dry_run": dry_run,
        **figures,
        "changes": [_change(change) for change in listed if change.failure is None],
        "failures": [
            {**documents.path(change.sidecar), "reason": change.failure}
            for change in listed
            if change.failure is not None
        ],
    }


def _change(change: SidecarChange) -> Document:
    return {
        **documents.path(change.sidecar),
        "photo": documents.path(change.photo),
        "new": change.created,
        "added": list(change.added),
        "withdrawn": list(change.withdrawn),
        "kept_off": list(change.kept_off),
    }


def imported(tally: ImportTally, dry_run: bool) -> Document:
    """What an import of tags found."""
    return {
        "dry_run": dry_run,
        "sidecars": tally.sidecars,
        "photos": tally.photos,
        "new": tally.new,
        "known": tally.known,
        "kept_off": tally.kept_off,
        "unusable": tally.unusable,
        "unmatched": [documents.path(path) for path in tally.unmatched],
        "failures": [{**documents.path(path), "reason": reason} for path, reason in tally.failures],
    }
