"""The library's folder: there, its owner's alone, with room; and what was left behind in it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from photoindex.aside import SUFFIX, abandoned
from photoindex.catalog.journal import network_file_system
from photoindex.health.reading import WATCH_LOCK, Look
from photoindex.health.records import Finding, Mend, note, ok, problem
from photoindex.lending.address import SOCKET
from photoindex.lending.lender import LOCK as SEARCH_LOCK
from photoindex.locks import is_held
from photoindex.terminal.wording import count, size

FOLDER, PERMISSIONS, SPACE, LEFTOVERS = "library folder", "permissions", "free space", "leftovers"
MORE_PHOTOS = 1000
"""There should be room for so many more."""
_A_PHOTO = 100_000  # bytes at least: image tokens, embedding, tags
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITERS = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE = ("catalog.db*", "vectors-*", "*.sock", "*.lock")


def check_folder(look: Look) -> Iterator[Finding]:
    """Whether it is there, and can be written."""
    if not look.path.is_file():
        yield problem(
            FOLDER,
            f"no library in {look.folder}",
            'run "photoindex watch FOLDER" first, or name another with --library',
        )
        return
    kind = network_file_system(look.folder)
    if not os.access(look.folder, os.W_OK | os.X_OK) or not os.access(look.path, os.W_OK):
        yield problem(
            FOLDER,
            f"{look.folder} cannot be written",
            "make the folder and the files in it yours and writable",
        )
    elif kind is not None:
        yield note(
            FOLDER,
            f"{look.folder} is on a network file system ({kind})",
            "searches wait while photos are added: put the library on a local disk",
        )
    else:
        yield ok(FOLDER, str(look.folder))


def check_permissions(look: Look) -> Iterator[Finding]:
    """Whether others may read what is in it, or write."""
    open_ones = [path for path in _private(look.folder) if _mode(path) & _OTHERS]
    if not open_ones:
        yield ok(PERMISSIONS, "folder, database and sockets are their owner's alone")
        return
    names = ", ".join(path.name for path in open_ones)
    advice = "take the permissions of group and others away: --repair does"
    if any(_mode(path) & _WRITERS for path in open_ones):
        yield problem(PERMISSIONS, f"others may write: {names}", advice, Mend.PERMISSIONS)
    else:
        yield note(PERMISSIONS, f"others may read: {names}", advice, Mend.PERMISSIONS)


def check_space(look: Look, photos: int) -> Iterator[Finding]:
    """Whether there is room for 1,000 more photos, each as large as those here are on average,
    and for a second copy of the vector index, which is written beside the old one.
    """
    each = max(_A_PHOTO, look.path.stat().st_size // photos if photos else 0)
    copies = sum(path.stat().st_size for path in look.folder.glob("vectors-*.faiss"))
    needed = MORE_PHOTOS * each + copies
    free = shutil.disk_usage(look.folder).free
    told = f"{size(free)} free; {count(MORE_PHOTOS, 'photo')} more take about {size(needed)}"
    if free < needed:
        yield problem(SPACE, told, "free some space on the library's disk")
    else:
        yield ok(SPACE, told)


def check_leftovers(look: Look) -> Iterator[Finding]:
    """What processes that were killed left behind, and copies of before upgrades."""
    left = leftovers(look.folder)
    if left:
        names = ", ".join(path.name for path in left)
        yield note(LEFTOVERS, names, "left by killed processes: --repair deletes", Mend.LEFTOVERS)
    copies = [path for path in look.folder.glob("catalog.db.before-*") if path.is_file()]
    for path in copies:
        yield note(
            LEFTOVERS,
            f"{path.name}, {size(path.stat().st_size)}: the library before it was upgraded",
            "delete it when all is as you expect; --repair keeps it",
        )
    if not left and not copies:
        yield ok(LEFTOVERS, "none")


def leftovers(folder: Path) -> list[Path]:
    """Half-written files that are a day old, and sockets and notes of no process."""
    found = [
        path for pattern in (f"*{SUFFIX}*", ".restoring-*") for path in abandoned(folder, pattern)
    ]
    for name in (WATCH_LOCK, SEARCH_LOCK):
        told = (folder / name).with_suffix(".json")
        if told.exists() and not is_held(folder / name):
            found.append(told)
    if (folder / SOCKET).exists() and not is_held(folder / SEARCH_LOCK):
        found.append(folder / SOCKET)
    return sorted(set(found))


def make_private(folder: Path) -> str:
    """Take permissions of group and others away. Returns what was done. Raises OSError."""
    changed = [path for path in _private(folder) if _mode(path) & _OTHERS]
    for path in changed:
        path.chmod(_mode(path) & ~_OTHERS)
    return f"made its owner's alone: {', '.join(path.name for path in changed)}"


def clear_leftovers(left: Sequence[Path]) -> str:
    """Delete what `leftovers` found. Returns what was done. Raises OSError."""
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return f"deleted: {', '.join(path.name for path in left) or 'nothing any more'}"


def _private(folder: Path) -> list[Path]:
    inside = {path for pattern in _PRIVATE for path in folder.glob(pattern)}
    return [folder, *sorted(path for path in inside if not path.is_symlink())]


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except FileNotFoundError:  # a log that has just been taken in
        return 0
