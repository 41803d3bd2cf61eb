"""Finding picture files in a folder, and what is left out of every look at it."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from photoindex.photo import FileStamp, FoundFile
from photoindex.photos.formats import is_picture_file

# Made by network storage, operating systems and archivers; never a person's photos.
SYSTEM_FOLDERS = frozenset(
    name.lower()
    for name in (
        *("@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "#recycle", "#snapshot"),
        *("lost+found", "System Volume Information", "$RECYCLE.BIN", "RECYCLER", "__MACOSX"),
        *("Network Trash Folder", "Temporary Items"),
    )
)


class Pruning:
    """Decides what below a root folder is left out: hidden, system and excluded files and folders.

    An exclude pattern is a shell glob. With a slash in it, it is matched against the path below
    the root, or the whole path; without one, against the name of every file and folder.
    """

    def __init__(self, root: Path, excludes: Sequence[str] = ()) -> None:
        self.root = os.fspath(root)
        self._prefix = self.root.rstrip(os.sep) + os.sep
        self._excludes = tuple(excludes)
        patterns = [os.path.expanduser(glob).rstrip("/") for glob in excludes]  # noqa: PTH111
        self._names = _any_of([glob for glob in patterns if "/" not in glob])
        self._paths = _any_of([glob for glob in patterns if "/" in glob])

    def leaves_out(self, path: str) -> bool:
        """Whether one entry is left out, taking for granted that its parent folder is not."""
        name = os.path.basename(path)  # noqa: PTH119
        if name.startswith(".") or name.lower() in SYSTEM_FOLDERS or self._names.fullmatch(name):
            return True
        below = path.removeprefix(self._prefix)
        return bool(self._paths.fullmatch(below) or self._paths.fullmatch(path))

    def covers(self, path: str) -> bool:
        """Whether a path is outside the root, or it or a folder on the way to it is left out."""
        if not (path + os.sep).startswith(self._prefix):
            return True
        while len(path) >= len(self._prefix):
            if self.leaves_out(path):
                return True
            path = path.rpartition(os.sep)[0]
        return False

    def follows(self, link: str) -> bool:
        """Whether a link to a file counts: its target lies below the root and is not left out."""
        real_root = Path(os.path.realpath(self.root))
        return not Pruning(real_root, self._excludes).covers(os.path.realpath(link))


class Scan:
    """The picture files below a folder, found while they are iterated over, sorted per folder.

    Hidden, system and excluded folders are not entered, links to folders not followed; a link to
    a file counts as a file when it points below the same folder. `unreadable` fills up with what
    could not be looked at: folders, the scanned folder itself included when it is not there, and
    single files. Of them and all below nothing is known, in particular not that it is gone.
    """

    def __init__(self, folder: Path, excludes: Sequence[str] = (), *, root: Path | None = None):
        """folder: absolute. root: the folder that excludes relate to, if `folder` lies inside."""
        self.folder = folder
        self.unreadable: list[Path] = []
        self._pruning = Pruning(root or folder, excludes)

    def __iter__(self) -> Iterator[FoundFile]:
        """Every picture file with its stamp; what vanishes meanwhile is left out."""
        waiting = [os.fspath(self.folder)]
        while waiting:
            entries, folders = self._list(waiting.pop())
            waiting.extend(reversed(folders))
            for entry in entries:
                found = self._found(entry)
                if found is not None:
                    yield found

    def folders(self) -> Iterator[Path]:
        """Every folder that is not left out, the scanned one first, each before it is listed.

        Whoever starts to watch a folder when it is yielded misses nothing that appears in it.
        """
        waiting = [os.fspath(self.folder)]
        while waiting:
            folder = waiting.pop()
            yield Path(folder)
            waiting.extend(reversed(self._list(folder)[1]))

    def _list(self, folder: str) -> tuple[list[os.DirEntry[str]], list[str]]:
        """What a folder holds: the entries that may be files, and the sub-folders to enter."""
        files: list[os.DirEntry[str]] = []
        folders: list[str] = []
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            vanished = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not vanished or folder == os.fspath(self.folder):
                self.unreadable.append(Path(folder))
            return files, folders
        for entry in entries:
            if self._pruning.leaves_out(entry.path):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    files.append(entry)
            except OSError:  # a file system that does not tell types in listings, and an error
                self.unreadable.append(Path(entry.path))
        return files, folders

    def _found(self, entry: os.DirEntry[str]) -> FoundFile | None:
        try:
            if entry.is_symlink() and not self._pruning.follows(entry.path):
                return None
            status = entry.stat()
        except FileNotFoundError:
            return None
        except OSError:
            self.unreadable.append(Path(entry.path))
            return None
        if not stat.S_ISREG(status.st_mode) or not is_picture_file(entry.path):
            return None
        return FoundFile(Path(entry.path), _stamp(status))


def stamp_of(path: Path) -> FileStamp | None:
    """The stamp of one regular file, None where there is none (any more)."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return _stamp(status) if stat.S_ISREG(status.st_mode) else None


def _stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def _any_of(globs: Sequence[str]) -> re.Pattern[str]:
    """A pattern that matches what any of the globs matches; none of them: nothing."""
    # DOTALL is in what translate() makes, so that names with newlines match as well.
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")
