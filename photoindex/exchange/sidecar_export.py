"""Shown tags into XMP sidecars beside the photos; the photos themselves are never written."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import PhotoTag
from photoindex.exchange.export import photo_blocks
from photoindex.exchange.merging import merge
from photoindex.exchange.naming import Naming, SidecarNames
from photoindex.exchange.sidecar import Sidecar, SidecarError, Snapshot, read, stamp_of
from photoindex.exchange.subjects import Language
from photoindex.exchange.writing import written_aside
from photoindex.paths import absolute, is_below
from photoindex.photo import Source
from photoindex.tagger import Progress, no_progress

DEFAULT_ROOT = ("photoindex",)
_WRITING = "writing sidecars"
_READABLE = 0o666


@dataclass(frozen=True, slots=True)
class SidecarOptions:
    """naming: of new sidecars; root: where tags stand in trees of tags, () for the top level;
    user_only: only tags that the user gave; dry_run: find out what would be done."""

    naming: Naming = Naming.DIGIKAM
    root: tuple[str, ...] = DEFAULT_ROOT
    language: Language = Language.ENGLISH
    user_only: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class SidecarChange:
    """What became of one photo file's sidecar, or would become of it.

    kept_off: tags that photoindex once wrote and somebody else took out; failure: why it was left
    as it was, None where all is well.
    """

    photo: Path
    sidecar: Path
    created: bool = False
    changed: bool = False
    added: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    kept_off: tuple[str, ...] = ()
    failure: str | None = None


def export_sidecars(
    catalog: Catalog,
    folders: Sequence[Path] = (),
    options: SidecarOptions | None = None,
    progress: Progress = no_progress,
) -> Iterator[SidecarChange]:
    """Bring the sidecar of every photo file that is there up to date with its shown tags.

    What others wrote stays as it is. A sidecar that cannot be understood or written is left alone
    and told of. Photos without tags get no new sidecar. folders: photos inside these only.
    """
    options = options or SidecarOptions()
    names = SidecarNames()
    roots = [absolute(folder) for folder in folders]
    for block in photo_blocks(catalog, roots, progress, _WRITING):
        shown = catalog.tags.of([photo.id for photo in block])
        for photo in block:
            spelt = [_spelt(tag, options) for tag in shown[photo.id] if _wanted(tag, options)]
            for file in photo.files:
                if (not roots or is_below(file, roots)) and (mode := _mode_of(file)) is not None:
                    yield _bring(file, mode, spelt, options, names)


def _wanted(tag: PhotoTag, options: SidecarOptions) -> bool:
    return tag.source is Source.USER or not options.user_only


def _spelt(tag: PhotoTag, options: SidecarOptions) -> str:
    return tag.name_zh or tag.name if options.language is Language.CHINESE else tag.name


def _mode_of(photo: Path) -> int | None:
    """A photo file's permissions, None where it is not there now."""
    try:
        return stat.S_IMODE(photo.stat().st_mode)
    except OSError:
        return None


def _bring(
    photo: Path, mode: int, tags: Sequence[str], options: SidecarOptions, names: SidecarNames
) -> SidecarChange:
    where = photo
    try:
        for where, there in names.candidates(photo, options.naming):
            snapshot = read(where)
            if (snapshot is None) is there:
                continue  # came or went since the folder was listed, or made by an earlier copy
            sidecar = Sidecar.new() if snapshot is None else Sidecar.parse(snapshot.raw)
            if sidecar.extension in (None, photo.suffix[1:].lower()):
                return _merge(SidecarChange(photo, where), snapshot, sidecar, mode, tags, options)
        raise SidecarError("it changed meanwhile: try again")
    except SidecarError as error:
        return SidecarChange(photo, where, failure=str(error))
    except OSError as error:
        return SidecarChange(photo, where, failure=error.strerror or str(error))


def _merge(
    about: SidecarChange,
    snapshot: Snapshot | None,
    sidecar: Sidecar,
    mode: int,
    tags: Sequence[str],
    options: SidecarOptions,
) -> SidecarChange:
    before = sidecar.to_bytes()
    merged = merge(sidecar, tags, options.root)
    after = sidecar.to_bytes()
    if after != before and not options.dry_run:
        _write(about.sidecar, snapshot, after, mode)
    return replace(
        about,
        created=after != before and snapshot is None,
        changed=after != before,
        added=merged.added,
        withdrawn=merged.withdrawn,
        kept_off=merged.kept_off,
    )


def _write(path: Path, snapshot: Snapshot | None, raw: bytes, photo_mode: int) -> None:
    """A known sidecar keeps its permissions; who may see the photo may see a new one."""
    mode = photo_mode & _READABLE if snapshot is None else stat.S_IMODE(snapshot.mode)
    with written_aside(path, mode) as aside:
        aside.write_bytes(raw)
        if snapshot is not None:
            with contextlib.suppress(PermissionError):
                os.chown(aside, *snapshot.owner)
        if _stamp(path) != (snapshot.stamp if snapshot else None):
            raise SidecarError("another program was writing it: try again")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        return stamp_of(path.lstat())
    except FileNotFoundError:
        return None
