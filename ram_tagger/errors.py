"""The tagger's errors; each message says what to do next."""

from __future__ import annotations


class RamTaggerError(Exception):
    """The base of all."""


class CheckpointError(RamTaggerError):
    """A checkpoint or model folder that is missing, unsafe, incomplete or of other shapes."""


class ShapeError(RamTaggerError):
    """Arrays whose widths or counts do not fit each other."""


class UnreadablePicture(RamTaggerError):
    """A path that holds no picture that can be read."""


class Ended(RamTaggerError):
    """A long computation that was asked to stop; what was done so far is kept."""


class RecipeError(RamTaggerError):
    """A training recipe or its data that makes no sense; names the entry and what is wrong."""
