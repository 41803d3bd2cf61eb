"""Paths as people type them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def absolute(typed: Path | str) -> Path:
    """A typed path without `~` and `..`; the home of a user who is not there stays as typed.

    Links are left alone: a folder is known by the name that it was given.
    """
    return Path(os.path.abspath(os.path.expanduser(typed)))  # noqa: PTH111


def is_below(path: Path | str, folders: Iterable[Path | str]) -> bool:
    """Whether an absolute path is one of some folders, or lies in one."""
    text = os.fspath(path)
    names = (os.fspath(folder) for folder in folders)
    return any(text == name or text.startswith(name.rstrip(os.sep) + os.sep) for name in names)
