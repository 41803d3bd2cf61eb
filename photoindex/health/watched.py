"""The watched folders, and whether the system lets so many be watched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from photoindex.catalog.journal import network_file_system
from photoindex.catalog.records import FolderRecord
from photoindex.health.reading import Opened
from photoindex.health.records import Finding, note, ok, problem
from photoindex.photos.walk import Scan
from photoindex.terminal.wording import count

WATCHED, NOTICES = "watched folder", "inotify"
_LIMITS = Path("/proc/sys/fs/inotify")
_TO_COUNT, _TO_COUNT_QUICKLY = 20.0, 2.0  # seconds
_NARROW = 0.8
_INSTANCES = 16  # of one user: file managers and editors take some as well


def check_watched(opened: Opened) -> Iterator[Finding]:
    """Whether each is there and can be read."""
    folders = opened.catalog.folders.all()
    for folder in folders:
        yield _check(folder)
    if not folders:
        yield note(WATCHED, "none", 'run "photoindex watch FOLDER" or "photoindex index FOLDER"')


def _check(folder: FolderRecord) -> Finding:
    path = folder.path
    if not path.is_dir():
        return note(
            WATCHED,
            f"{path} is offline: its photos are kept",
            'mount its disk, or "photoindex forget" it if it is not to come back',
        )
    if not os.access(path, os.R_OK | os.X_OK):
        return problem(WATCHED, f"{path} cannot be read", "give yourself permission to read it")
    kind, device = network_file_system(path), path.stat().st_dev
    told = f"{path}, device {os.major(device)}:{os.minor(device)}"
    if not folder.online:
        return note(WATCHED, f"{told}, was offline", '"photoindex index" takes its photos back')
    if kind is not None:
        return note(
            WATCHED,
            f"{told}, on a network file system ({kind})",
            "changes made elsewhere bring no notice: watch it with --polling",
        )
    return ok(WATCHED, told)


def check_notices(opened: Opened, limits: Path = _LIMITS) -> Iterator[Finding]:
    """inotify's limits against the number of folders. limits: where the system tells them."""
    look = opened.look
    roots = [folder.path for folder in opened.catalog.folders.all() if folder.path.is_dir()]
    if look.settings.polling:
        yield ok(NOTICES, "not needed: the settings say polling")
        return
    try:
        watches, instances, queue = (
            int((limits / f"max_{name}").read_text())
            for name in ("user_watches", "user_instances", "queued_events")
        )
    except (OSError, ValueError):
        yield ok(NOTICES, "this system has none: watching looks again and again instead")
        return
    due = time.monotonic() + (_TO_COUNT_QUICKLY if look.quick else _TO_COUNT)
    folders, whole = 0, True
    for root in roots:
        for _ in Scan(root, look.settings.exclude).folders():
            folders += 1
            look.progress("counting folders", folders, None)
            if time.monotonic() > due:
                whole = False
                break
    told = f"{count(folders, 'folder')}{'' if whole else ' or more'}, {watches:,} watches allowed"
    wanted = max(524_288, 2 * folders)
    more = f"sudo sysctl fs.inotify.max_user_watches={wanted}, and a line in /etc/sysctl.d to keep"
    if folders > watches:
        yield problem(NOTICES, told, f"{more}; until then watching looks again and again")
    elif folders > _NARROW * watches:
        yield note(NOTICES, told, more)
    else:
        yield ok(NOTICES, told)
    if instances < _INSTANCES:
        yield note(
            NOTICES,
            f"{instances} instances a user",
            "sudo sysctl fs.inotify.max_user_instances=128",
        )
    if queue < folders:
        yield note(
            NOTICES,
            f"{queue:,} queued events for {count(folders, 'folder')}",
            "sudo sysctl fs.inotify.max_queued_events=65536: a lost notice costs a look at all",
        )
