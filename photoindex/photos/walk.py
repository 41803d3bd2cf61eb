"""Finding picture files in a folder, and what is left out of every look at it."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from photoindex.photo import FileRow, FileStamp, FoundFile, found_file
from photoindex.photos.formats import Hint, hint, is_picture_file

# Made by network storage, operating systems and archivers; never a person's photos.
SYSTEM_FOLDERS = frozenset(
    name.lower()
    for name in (
        *("@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "#recycle", "#snapshot"),
        *("lost+found", "System Volume Information", "$RECYCLE.BIN", "RECYCLER", "__MACOSX"),
        *("Network Trash Folder", "Temporary Items"),
    )
)
_SYSTEM_NAMES = frozenset(name.encode() for name in SYSTEM_FOLDERS)
_SLASH = os.fsencode(os.sep)


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
        if name.startswith(".") or name.lower() in SYSTEM_FOLDERS:
            return True
        return bool(self._excludes) and self._excluded(path, name)

    def leaves_out_entry(self, prefix: bytes, name: bytes) -> bool:
        """The same of an entry of a listing, quickly: its folder with the slash, and its name."""
        if name.startswith(b".") or name.lower() in _SYSTEM_NAMES:
            return True
        return bool(self._excludes) and self._excluded(
            os.fsdecode(prefix + name), os.fsdecode(name)
        )

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

    def _excluded(self, path: str, name: str) -> bool:
        below = path.removeprefix(self._prefix)
        return bool(
            self._names.fullmatch(name)
            or self._paths.fullmatch(below)
            or self._paths.fullmatch(path)
        )


class Scan:
    """The picture files below a folder, found while they are iterated over, by their paths' bytes.

    Hidden, system and excluded folders are not entered, links to folders not followed; a link to
    a file counts as a file when it points below the same folder. `unreadable` fills up with what
    could not be looked at: folders, the scanned folder itself included when it is not there, and
    single files. Of them and all below nothing is known, in particular not that it is gone.
    """

    def __init__(self, folder: Path, excludes: Sequence[str] = (), *, root: Path | None = None):
        """folder: absolute. root: the folder that excludes relate to, if `folder` lies inside."""
        self.folder = folder
        self.unreadable: list[Path] = []
        self._top = _with_slash(os.fsencode(folder))
        self._pruning = Pruning(root or folder, excludes)

    def __iter__(self) -> Iterator[FoundFile]:
        """Every picture file with its stamp; what vanishes meanwhile is left out."""
        return map(found_file, self.rows())

    def rows(self) -> Iterator[FileRow]:
        """The same as plain tuples: for whoever looks at very many."""
        listings = [(self._top, iter(self._list(self._top)))]
        while listings:
            prefix, names = listings[-1]
            for name in names:
                if name.endswith(_SLASH):
                    inner = prefix + name
                    listings.append((inner, iter(self._list(inner))))
                    break
                row = self._row(prefix + name, _kind_of(_extension(name)))
                if row is not None:
                    yield row
            else:
                listings.pop()

    def folders(self) -> Iterator[Path]:
        """Every folder that is not left out, the scanned one first, each before it is listed.

        Whoever starts to watch a folder when it is yielded misses nothing that appears in it.
        """
        waiting = [self._top]
        while waiting:
            folder = waiting.pop()
            yield _path(folder)
            names = reversed(self._list(folder))
            waiting.extend(folder + name for name in names if name.endswith(_SLASH))

    def _list(self, prefix: bytes) -> list[bytes]:
        """The names of the sub-folders to enter and of what may be picture files in a folder.

        prefix: the folder, with a slash at its end. The names of folders end with one as well, so
        that names in order make paths in order: `a b`, `a.jpg`, all of `a/`, `ab`.
        """
        names: list[bytes] = []
        leaves_out = self._pruning.leaves_out_entry
        try:
            with os.scandir(prefix) as listing:
                for entry in listing:
                    name = entry.name
                    if leaves_out(prefix, name):
                        continue
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            names.append(name + _SLASH)
                        elif _kind_of(_extension(name)) is not Hint.OTHER:
                            names.append(name)
                    except OSError:  # a file system whose listings tell no types, and an error
                        self.unreadable.append(_path(prefix + name))
        except OSError as error:
            vanished = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not vanished or prefix == self._top:
                self.unreadable.append(_path(prefix))
            return []
        names.sort()
        return names

    def _row(self, path: bytes, kind: Hint) -> FileRow | None:
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                if not self._pruning.follows(os.fsdecode(path)):
                    return None
                status = os.stat(path)  # noqa: PTH116  (paths are bytes while walking)
        except FileNotFoundError:
            return None
        except OSError:
            self.unreadable.append(_path(path))
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        if kind is not Hint.PICTURE and not is_picture_file(os.fsdecode(path)):
            return None
        return path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def stamp_of(path: Path) -> FileStamp | None:
    """The stamp of one regular file, None where there is none (any more)."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def _extension(name: bytes) -> bytes:
    dot = name.rfind(b".")
    return name[dot:] if dot > 0 else b""


@functools.lru_cache(maxsize=1024)
def _kind_of(extension: bytes) -> Hint:
    return hint("name" + os.fsdecode(extension))


def _with_slash(folder: bytes) -> bytes:
    return folder.rstrip(_SLASH) + _SLASH


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def _any_of(globs: Sequence[str]) -> re.Pattern[str]:
    """A pattern that matches what any of the globs matches; none of them: nothing."""
    # DOTALL is in what translate() makes, so that names with newlines match as well.
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")
