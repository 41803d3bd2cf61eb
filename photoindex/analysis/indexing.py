"""Keeping the library true to its folders: catch up once, then follow what happens."""

from __future__ import annotations

import functools
import logging
import math
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from photoindex.analysis.catch_up import Disagreement, compare, same_content, tell_moves
from photoindex.analysis.concepts import fill_gaps
from photoindex.analysis.file_table import FileTable, portions
from photoindex.analysis.tally import Tally
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import FileMove, FileRecord, FolderRecord
from photoindex.config import Settings
from photoindex.errors import UsageError
from photoindex.paths import absolute, is_below
from photoindex.photo import FileRow, FileState, FoundFile, file_row
from photoindex.photos.changes import Changes
from photoindex.photos.walk import Scan, stamp_of
from photoindex.sharing import analysing
from photoindex.tagger import Progress, Tagger, no_progress

_log = logging.getLogger(__name__)

KEEP_DELETED = timedelta(days=30)
"""How long the analysis of a deleted photo is kept, so that a move seen late loses nothing."""
TRY_AGAIN, TRY_AGAIN_AT_LEAST = 60.0, 3600.0
"""Seconds after which a watcher tries again what it could not read: at first, and in the end."""
LOOKING = "looking"
_REPORT_EVERY = 500
_PORTION = 2000  # files recorded in one go


class Indexer:
    """Brings the catalog up to date with folders, by one tagger."""

    def __init__(
        self,
        catalog: Catalog,
        tagger: Tagger,
        settings: Settings,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._catalog = catalog
        self._tagger = tagger
        self._settings = settings
        self._progress = progress
        self._stop = stop

    def catch_up(self, folders: Sequence[Path]) -> Tally:
        """Everything that changed since the last time, deleted photos' remains included.

        All folders are looked at before anything is recorded, so that what was moved from one to
        another is known by its inode. Memory is taken by differences alone.
        """
        tally, found = Tally(), Disagreement()
        known = {record.path: record for record in self._catalog.folders.all()}
        for folder in folders:
            tally += self._look(folder, known.get(folder), found)
            if self._stop.is_set():  # what was not looked at is not gone
                return tally
        devices = {folder: known[folder].device for folder in folders if folder in known}
        tally += self._settle(found, devices)
        tally += self._analyse_awaiting()
        if not self._stop.is_set():
            fill_gaps(self._catalog, self._tagger, self._progress)
            self._catalog.analyses.purge(datetime.now(UTC) - KEEP_DELETED)
        return tally

    def follow(self, folders: Sequence[Path]) -> Iterator[Tally]:
        """What happened, settled change by settled change, until told to stop.

        The first is the catching up: the watcher asks for it once its watches are in place. What
        could not be read is tried again after a while, and then ever more rarely.
        """
        from photoindex.photos.watch import watch

        changes = watch(
            folders,
            self._settings.exclude,
            polling=self._settings.polling,
            settle=self._settings.settle,
            stop=self._stop,
            remind=TRY_AGAIN,
        )
        patience, due = TRY_AGAIN, math.inf
        for change in changes:
            if not change and time.monotonic() < due:
                continue
            again = not change
            tally = self._apply(change or Changes(rescan=frozenset(folders)))
            if tally.unsettled:
                patience = min(2 * patience, TRY_AGAIN_AT_LEAST) if again else TRY_AGAIN
                due = time.monotonic() + patience
            elif again:
                due = math.inf
            yield tally

    def _look(self, folder: Path, before: FolderRecord | None, found: Disagreement) -> Tally:
        """Compare a whole watched folder; an unmounted one makes its photos offline.

        One is unmounted where there is no folder, or an empty one on another device than before.
        before: what was known of the folder; found: where the differences are added.
        """
        self._progress(LOOKING, found.seen, None)
        device, scan = _device_at(folder), Scan(folder, self._settings.exclude)
        here = Disagreement()
        if device is not None:
            rows = self._counted(scan.rows(), found.seen)
            here = compare(rows, self._catalog.files.known_under(folder))
        if self._stop.is_set():
            return Tally()
        another_disk = before is not None and before.device not in (None, device)
        if device is None or _device_at(folder) != device or (another_disk and not here.seen):
            count = self._catalog.folders.set_online(folder, online=False)
            _log.warning("%s is not there: its %d photos are offline, not deleted", folder, count)
            return Tally(offline=count)
        if before is None or not before.online or before.device != device:
            self._catalog.folders.remember(folder, device)
        here.forget_below(scan.unreadable)
        found.add(here)
        return Tally()

    def _settle(self, found: Disagreement, devices: Mapping[Path, int | None]) -> Tally:
        """Record what a comparison told, then analyse what has to be read.

        devices: the watched folders' own, when the files were last seen.
        """
        files = self._catalog.files
        moves = tell_moves(found)
        for group in moves.groups(_PORTION):
            files.move([FileMove(old.path, file) for old, file in group])
        for table in (found.back, found.remounted, found.renumbered):
            for portion in portions(table, _PORTION):
                files.restamp(portion)
        tally = Tally(moved=len(moves.now), back=len(found.back))
        for lost in portions(found.gone, _PORTION):
            tally += self._let_go([(file.path, file.stamp.device) for file in lost], devices)
        return tally + self._analyse(found.unread)

    def _let_go(
        self,
        missing: Sequence[tuple[Path, int]],
        devices: Mapping[Path, int | None] = MappingProxyType({}),
    ) -> Tally:
        """Mark missing files as deleted, or offline with their disk.

        missing: each with the device that it was on; devices: of the watched folders, which are
        there: what lay on the same one is not on a disk unmounted, though a disk may have another
        number since the machine was started again.
        """
        at = functools.cache(_device_at)
        away: list[Path] = []
        gone: list[Path] = []
        for path, device in missing:
            own = next((devices[root] for root in devices if is_below(path, [root])), None)
            # On a disk of its own: the nearest folder that is there lies on another one.
            there = (number for folder in path.parents if (number := at(folder)) is not None)
            (away if device != own and next(there) != device else gone).append(path)
        self._catalog.files.mark_offline(away)
        self._catalog.files.mark_deleted(gone)
        return Tally(deleted=len(gone), offline=len(away))

    def _apply(self, change: Changes) -> Tally:
        """Record what happened, in the order that the watcher asks for."""
        moves, renamed = self._told_moves(change)
        self._catalog.files.move(moves)
        missing = [record for path in change.gone for record in self._present_at(path)]
        tally = Tally(moved=len(moves))
        tally += self._let_go([(record.path, record.stamp.device) for record in missing])
        news = [news for path in sorted({*change.touched, *renamed}) if (news := self._news(path))]
        unread = [file for file, read in news if read]
        back = [file for file, read in news if not read]
        self._catalog.files.restamp(back)
        tally += Tally(back=len(back)) + self._analyse(unread)
        if change.rescan:
            tally += self.catch_up(sorted(change.rescan))
        elif tally.analysed:
            fill_gaps(self._catalog, self._tagger, no_progress)
        return tally

    def _told_moves(self, change: Changes) -> tuple[list[FileMove], list[Path]]:
        """Moves of files known by content, and the new paths of all others."""
        moves: list[FileMove] = []
        renamed: list[Path] = []
        for old, new in change.moved:
            stamp, known = stamp_of(new), self._catalog.files.at(old)
            if stamp and known and known.photo_id and same_content(stamp, known.stamp):
                moves.append(FileMove(old, FoundFile(new, stamp)))
            else:
                renamed.append(new)
        return moves, renamed

    def _present_at(self, path: Path) -> list[FileRecord]:
        """The known files that a path stands for: itself, or all below it if it was a folder."""
        known = self._catalog.files.at(path)
        records = [known] if known is not None else self._catalog.files.under(path)
        return [record for record in records if record.state is FileState.PRESENT]

    def _news(self, path: Path) -> tuple[FoundFile, bool] | None:
        """A touched file, and whether it has to be read or came back unchanged; None: neither."""
        stamp, known = stamp_of(path), self._catalog.files.at(path)
        if stamp is None:
            return None
        file = FoundFile(path, stamp)
        if known is None or not same_content(stamp, known.stamp):
            return file, True
        return None if known.state is FileState.PRESENT else (file, False)

    def _analyse_awaiting(self) -> Tally:
        """Photos that another model analysed and this one has not, then switch to this one."""
        catalog, model_id = self._catalog, self._tagger.model_id
        waiting = FileTable()
        for record in catalog.analyses.awaiting(model_id):
            if self._stop.is_set():
                break
            waiting.add(file_row(FoundFile(record.path, record.stamp)))
        tally = self._analyse(waiting)
        active = catalog.models.active()
        if (active is None or active.model_id != model_id) and not (
            catalog.analyses.awaiting_count(model_id)
        ):
            catalog.models.activate(model_id)
        return tally

    def _analyse(self, files: Sequence[FoundFile]) -> Tally:
        if not files or self._stop.is_set():
            return Tally()
        from photoindex.analysis.pipeline import analyse_files  # most runs find nothing to analyse

        with analysing(self._settings.library):
            return analyse_files(
                files,
                self._catalog,
                self._tagger,
                self._settings.batch_size,
                self._progress,
                self._stop.is_set,
            )

    def _counted(self, files: Iterable[FileRow], before: int) -> Iterator[FileRow]:
        """Reports how many files were looked at, and ends when told to stop."""
        for number, file in enumerate(files, before + 1):
            if number % _REPORT_EVERY == 0:
                self._progress(LOOKING, number, None)
                if self._stop.is_set():
                    return
            yield file


def resolve_folders(folders: Sequence[Path], catalog: Catalog) -> list[Path]:
    """Absolute folders without those inside others; with none given, the ones watched before.

    Raises UsageError for a folder that is not there and never was, or for no folder at all.
    """
    known = {record.path for record in catalog.folders.all()}
    wanted = [absolute(folder) for folder in folders] or sorted(known)
    if not wanted:
        raise UsageError("no folder to look at: name one, for example photoindex watch ~/Pictures")
    for folder in wanted:
        if folder.is_file():
            raise UsageError(f"{folder} is a file: name the folder that it lies in")
        if not folder.is_dir() and folder not in known:
            raise UsageError(f"no folder {folder}: check the name")
    return [f for f in dict.fromkeys(wanted) if not any(o in f.parents for o in wanted)]


def _device_at(folder: Path) -> int | None:
    """The device that a folder is on, None where it is not there."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev if stat.S_ISDIR(status.st_mode) else None
