"""What a library gives to the outside and takes from it. The door to this room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photoindex.catalog.catalog import Catalog
from photoindex.paths import absolute
from photoindex.tagger import Progress, no_progress

if TYPE_CHECKING:
    from photoindex.exchange.backup import BackupNote
    from photoindex.exchange.export import Exported
    from photoindex.exchange.sidecar_export import SidecarChange, SidecarOptions
    from photoindex.exchange.tag_import import ImportTally


class Exchange:
    """Backups, exports and sidecars of one library; `restore` needs none and is a function."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def backup(
        self, file: Path, force: bool = False, progress: Progress = no_progress
    ) -> BackupNote:
        """The whole library as it is at one moment, in one file; others may write meanwhile.

        force: replace a file that is there. Raises UsageError, LibraryError.
        """
        from photoindex.exchange.backup import backup

        return backup(self._catalog, absolute(file), force, progress)

    def export(
        self,
        folders: Sequence[Path] = (),
        embeddings: bool = False,
        progress: Progress = no_progress,
    ) -> Iterator[Exported]:
        """Everything that is known, record by record; folders: photos inside these only."""
        from photoindex.exchange.export import export

        return export(self._catalog, folders, embeddings, progress)

    def write_sidecars(
        self,
        folders: Sequence[Path] = (),
        options: SidecarOptions | None = None,
        progress: Progress = no_progress,
    ) -> Iterator[SidecarChange]:
        """Bring the XMP sidecars beside photos up to date, as one iterates over what was done."""
        from photoindex.exchange.sidecar_export import export_sidecars

        return export_sidecars(self._catalog, folders, options, progress)

    def import_tags(
        self,
        folders: Sequence[Path] = (),
        whole_paths: bool = False,
        dry_run: bool = False,
        progress: Progress = no_progress,
    ) -> ImportTally:
        """Take over the tags in XMP sidecars beside known photos. Raises UsageError."""
        from photoindex.exchange.tag_import import import_tags

        return import_tags(self._catalog, folders, whole_paths, dry_run, progress)
