"""What is known of a photo and of the files that hold it: records that rooms share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What the file system says of a file without reading it; any difference means it changed."""

    size: int  # bytes
    mtime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file seen in a folder. The path is absolute; bytes that are no UTF-8 are escaped."""

    path: Path
    stamp: FileStamp


FileRow = tuple[bytes, int, int, int, int]
"""A FoundFile as a plain tuple, where there are very many: path as the file system's bytes, size,
mtime_ns, inode, device."""


def found_file(row: FileRow) -> FoundFile:
    """The same as a record."""
    return FoundFile(Path(os.fsdecode(row[0])), FileStamp(*row[1:]))


def file_row(file: FoundFile) -> FileRow:
    """The other way round."""
    stamp = file.stamp
    return os.fsencode(file.path), stamp.size, stamp.mtime_ns, stamp.inode, stamp.device


@dataclass(frozen=True, slots=True)
class Metadata:
    """What EXIF says, each None where it says nothing sensible."""

    taken_at: datetime | None = None  # camera's own clock, no time zone
    camera: str | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """A photo's content, whatever files hold it."""

    hash: str  # hex BLAKE2b-256 of the file's bytes
    size: int  # bytes
    width: int  # pixels, after EXIF orientation
    height: int
    format: str  # Pillow's name of what the bytes are: JPEG, PNG, HEIF …
    metadata: Metadata = field(default_factory=Metadata)


class FileState(StrEnum):
    """Where a file is now."""

    PRESENT = "present"
    OFFLINE = "offline"  # its folder is not there at present: an unmounted disk
    DELETED = "deleted"  # gone; kept for a while so that a move seen late loses nothing


class Source(StrEnum):
    """Who says that a photo shows a tag."""

    MODEL = "model"
    CONCEPT = "concept"
    USER = "user"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """A photo and the files that hold it now: present ones first, then offline ones."""

    id: int
    facts: PhotoFacts
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class PhotoTag:
    """What one source says of one photo.

    probability: 1 where a user or an import gave the tag, 0 where the user said it is not there;
    threshold: what it is held against, None for user and imported tags.
    """

    name: str
    name_zh: str | None
    probability: float
    threshold: float | None
    source: Source
    model_id: str | None
