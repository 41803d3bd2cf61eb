"""The models folder: one sub-folder a model, each complete or not there at all."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoindex.aside import abandoned
from photoindex.errors import ModelError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PARTIAL, _REPLACED = ".partial-", ".replaced-"


class ModelStore:
    """Model folders by name. What lies inside one is its plugin's business."""

    def __init__(self, folder: Path) -> None:
        """folder: made when the first model is put into it."""
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        """The models that are here: sub-folders that hold a JSON file (their configuration)."""
        try:
            entries = sorted(self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise _cannot("read", self.folder, error) from error
        return tuple(
            entry.name
            for entry in entries
            if _NAME.fullmatch(entry.name) and entry.is_dir() and any(entry.glob("*.json"))
        )

    def path_of(self, name: str) -> Path:
        """Where a model of this name lies, or would lie. Raises ModelError for an impossible name.

        A name is letters, digits, dots, hyphens and underscores, so that no name leads elsewhere.
        """
        if not _NAME.fullmatch(name):
            raise ModelError(
                f"{name!r} cannot be a model's name: use letters, digits, dots, hyphens and"
                " underscores"
            )
        return self.folder / name

    @contextmanager
    def building(self, name: str) -> Iterator[Path]:
        """An empty folder to build a model in; it takes its place by name only when all is done.

        Leaving the context by an exception leaves the store as it was. A model of the same name
        is replaced. Raises ModelError where the folder cannot be written.
        """
        final = self.path_of(name)
        mark = secrets.token_hex(4)
        partial = self.folder / f"{_PARTIAL}{name}-{mark}"
        try:
            self._clear_abandoned()
            partial.mkdir(parents=True)
        except OSError as error:
            raise _cannot("write to", self.folder, error) from error
        try:
            yield partial
            _put_in_place(partial, final, self.folder / f"{_REPLACED}{name}-{mark}")
        except OSError as error:
            raise _cannot("write to", self.folder, error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def copy(self, source: Path, folder: Path) -> None:
        """Copy a finished model folder into one that is being built. Raises ModelError.

        A link that leads out of the folder is refused: nobody asked for what it leads to. So is
        one to a folder: it may lead in a circle.
        """
        try:
            for path in source.rglob("*"):
                if not path.resolve().is_relative_to(source.resolve()):
                    raise ModelError(f"{path} leads out of {source}: put there what it leads to")
                if path.is_symlink() and path.is_dir():
                    raise ModelError(f"{path} is a link to a folder: put there what it leads to")
            shutil.copytree(source, folder, dirs_exist_ok=True)
        except (OSError, RuntimeError, shutil.Error) as error:  # RuntimeError: a link to itself
            raise ModelError(f"cannot copy {source} to {folder}: {error}") from error

    def discard(self, folder: Path) -> None:
        """Delete a folder inside the store, for example downloads that were used.

        Raises ModelError where it cannot be deleted, or lies elsewhere.
        """
        if self.folder.resolve() not in folder.resolve().parents:
            raise ModelError(f"{folder} is not inside {self.folder}: delete it by hand")
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _cannot("delete", folder, error) from error

    def _clear_abandoned(self) -> None:
        """What a killed run left behind."""
        for prefix in (_PARTIAL, _REPLACED):
            for left in abandoned(self.folder, f"{prefix}*"):
                shutil.rmtree(left, ignore_errors=True)


def _put_in_place(built: Path, final: Path, aside: Path) -> None:
    """Give a folder its name, the one that had it put aside meanwhile and deleted afterwards."""
    if not final.exists():
        built.rename(final)
        return
    final.rename(aside)
    try:
        built.rename(final)
    except OSError:
        aside.rename(final)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _cannot(what: str, folder: Path, error: OSError) -> ModelError:
    return ModelError(
        f"cannot {what} {folder}: {error.strerror or error}; choose another folder with"
        " PHOTOINDEX_MODELS, or make room"
    )
