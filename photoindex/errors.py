"""Every error that photoindex raises on purpose, and the exit code each one means."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a photoindex command tells the shell."""

    DONE = 0
    NOTHING_FOUND = 1
    USAGE = 2
    CANNOT = 3


class PhotoindexError(Exception):
    """The base of all; its message is one line for the user and says what to do next."""

    exit_code = ExitCode.CANNOT


class UsageError(PhotoindexError):
    """What was asked for cannot be understood (a query, an option, a concept file)."""

    exit_code = ExitCode.USAGE


class QueryError(UsageError):
    """A search query that cannot be parsed."""


class ConceptError(UsageError):
    """A concept file that is malformed; names the entry and what is wrong with it."""


class LibraryError(PhotoindexError):
    """The library cannot be opened or used: locked, from a newer version, damaged, read-only."""


class ModelError(PhotoindexError):
    """A model is missing, damaged, or of no kind that an installed tagger can load."""


class DownloadError(ModelError):
    """A model file cannot be fetched, or is not what it should be."""


class PictureError(PhotoindexError):
    """A file is no picture that can be read; the message is the reason that `failures` lists."""


class Unreachable(PictureError):
    """A file cannot be read for a reason that lies outside of it and may pass.

    Permissions, a disk that does not answer, no memory left: not what the file holds.
    """


class NothingFound(PhotoindexError):
    """What was named does not exist: a photo, a tag, a concept."""

    exit_code = ExitCode.NOTHING_FOUND
