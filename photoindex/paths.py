"""Paths as people type them."""

from __future__ import annotations

import os
from pathlib import Path


def absolute(typed: Path | str) -> Path:
    """A typed path without `~` and `..`; the home of a user who is not there stays as typed.

    Links are left alone: a folder is known by the name that it was given.
    """
    return Path(os.path.abspath(os.path.expanduser(typed)))  # noqa: PTH111
