"""Keeping the library true to its folders: catch up once, then follow what happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from photoindex.analysis.catch_up import Disagreement, compare, same_content
from photoindex.analysis.concepts import fill_gaps
from photoindex.analysis.pipeline import Tally, analyse_files
from photoindex.catalog.catalog import Catalog
from photoindex.catalog.records import FileMove, FileRecord
from photoindex.config import Settings
from photoindex.errors import UsageError
from photoindex.paths import absolute, is_below
from photoindex.photo import FileState, FoundFile
from photoindex.photos.changes import Changes
from photoindex.photos.walk import Scan, stamp_of
from photoindex.photos.watch import watch
from photoindex.tagger import Progress, Tagger, no_progress

_log = logging.getLogger(__name__)

KEEP_DELETED = timedelta(days=30)
"""How long the analysis of a deleted photo is kept, so that a move seen late loses nothing."""
LOOKING = "looking"
_REPORT_EVERY = 500


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
        """Everything that changed since the last time, deleted photos' remains included."""
        tally = sum((self._catch_up_root(folder) for folder in folders), Tally())
        tally += self._analyse_awaiting()
        if not self._stop.is_set():
            fill_gaps(self._catalog, self._tagger, self._progress)
            self._catalog.analyses.purge(datetime.now(UTC) - KEEP_DELETED)
        return tally

    def follow(self, folders: Sequence[Path]) -> Iterator[Tally]:
        """What happened, settled change by settled change, until told to stop.

        The first is the catching up: the watcher asks for it once its watches are in place.
        """
        changes = watch(
            folders,
            self._settings.exclude,
            polling=self._settings.polling,
            settle=self._settings.settle,
            stop=self._stop,
        )
        for change in changes:
            yield self._apply(change)

    def _catch_up_root(self, folder: Path) -> Tally:
        """A whole watched folder; an unmounted one makes its photos offline."""
        looked = Scan(folder, self._settings.exclude)
        self._progress(LOOKING, 0, None)
        found = list(self._counted(looked))
        if self._is_away(folder, found):
            count = self._catalog.folders.set_online(folder, online=False)
            _log.warning("%s is not there: its %d photos are offline, not deleted", folder, count)
            return Tally(offline=count)
        device = self._device_of(folder)
        self._catalog.folders.remember(folder, folder.stat().st_dev)
        known = self._catalog.files.under(folder)
        return self._settle(compare(found, known), looked.unreadable, device)

    def _is_away(self, folder: Path, found: Sequence[FoundFile]) -> bool:
        """Whether a disk is not mounted: no folder, or an empty one on another device."""
        try:
            device = folder.stat().st_dev
        except OSError:
            return True
        if found:
            return False
        return self._device_of(folder) not in (None, device)

    def _device_of(self, folder: Path) -> int | None:
        """The device that a watched folder was on when it was last looked at."""
        return next((f.device for f in self._catalog.folders.all() if f.path == folder), None)

    def _settle(self, found: Disagreement, unreadable: Sequence[Path], device: int | None) -> Tally:
        """Record what a comparison told, then analyse what has to be read.

        device: the watched folder's own, when the files were last seen.
        """
        missing = [record for record in found.gone if not is_below(record.path, unreadable)]
        self._catalog.files.move(found.moved)
        self._catalog.files.restamp([*found.back, *found.renumbered])
        seen = Tally(moved=len(found.moved), back=len(found.back))
        return seen + self._let_go(missing, device) + self._analyse(found.unread)

    def _let_go(self, missing: Sequence[FileRecord], device: int | None = None) -> Tally:
        """Mark missing files as deleted, or offline with their disk.

        device: of the watched folder, which is there: what lay on it is not on a disk unmounted,
        though a disk may have another number since the machine was started again.
        """
        away = {r.path for r in missing if r.stamp.device != device and _is_unmounted(r)}
        gone = [record.path for record in missing if record.path not in away]
        self._catalog.files.mark_offline(sorted(away))
        self._catalog.files.mark_deleted(gone)
        return Tally(deleted=len(gone), offline=len(away))

    def _apply(self, change: Changes) -> Tally:
        """Record what happened, in the order that the watcher asks for."""
        moves, renamed = self._told_moves(change)
        self._catalog.files.move(moves)
        missing = [record for path in change.gone for record in self._present_at(path)]
        tally = Tally(moved=len(moves)) + self._let_go(missing)
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
        waiting = [
            FoundFile(record.path, record.stamp)
            for record in catalog.analyses.awaiting(model_id)
            if not self._stop.is_set()
        ]
        tally = self._analyse(waiting)
        if catalog.analyses.awaiting_count(model_id) == 0:
            catalog.models.activate(model_id)
        return tally

    def _analyse(self, files: Sequence[FoundFile]) -> Tally:
        if not files or self._stop.is_set():
            return Tally()
        return analyse_files(
            files,
            self._catalog,
            self._tagger,
            self._settings.batch_size or self._tagger.batch_size,
            self._progress,
            self._stop.is_set,
        )

    def _counted(self, files: Iterable[FoundFile]) -> Iterator[FoundFile]:
        for number, file in enumerate(files, 1):
            if number % _REPORT_EVERY == 0:
                self._progress(LOOKING, number, None)
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


def _is_unmounted(record: FileRecord) -> bool:
    """Whether a missing file was on a disk of its own below the watched folder.

    Then the nearest folder that is there lies on another device than the file did.
    """
    there = next(folder for folder in record.path.parents if folder.is_dir())
    return there.stat().st_dev != record.stamp.device
