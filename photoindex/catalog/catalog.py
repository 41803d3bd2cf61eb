"""The catalog: everything the library knows, in one SQLite database. The door to this room."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from photoindex.catalog import migrate, moments
from photoindex.catalog.analyses import Analyses
from photoindex.catalog.concepts import Concepts
from photoindex.catalog.database import PATIENCE, Database
from photoindex.catalog.files import Files, Folders
from photoindex.catalog.models import Models
from photoindex.catalog.photos import Photos
from photoindex.catalog.read_only import Unwritable, cannot_be_written
from photoindex.catalog.records import ModelRecord, Status
from photoindex.catalog.tags import Tags
from photoindex.photo import FileState

INDEXED_WITH = "indexed with"
"""The setting that holds the id of the model by which photos are analysed since the last run."""
_SETTING = "SELECT value FROM settings WHERE key = ?"
_FORGET_SETTING = "DELETE FROM settings WHERE key = ?"
_KEEP_SETTING = """
    INSERT INTO settings (key, value) VALUES (?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
_STATES = "SELECT state, count(*) FROM files GROUP BY state"
_FIGURES = """
    SELECT (SELECT count(*) FROM photos),
    (SELECT count(*) FROM files WHERE failure IS NOT NULL),
    (SELECT count(*) FROM concepts),
    (SELECT count(*) FROM tags WHERE EXISTS (
        SELECT 1 FROM photo_chunks CROSS JOIN tag_postings AS postings
        ON postings.chunk = photo_chunks.chunk WHERE tag_id = tags.id
    ) OR EXISTS (SELECT 1 FROM photo_tags WHERE tag_id = tags.id))"""


class Catalog:
    """What is known of photos, asked in the domain's words.

    Safe to use from several threads, and from several processes at once: writers wait for each
    other, readers never wait. Every method raises LibraryError where the database cannot serve
    (locked for too long, read-only, damaged, disk full). Iterators hold no transaction open
    between the blocks they read.
    """

    def __init__(self, database: Database) -> None:
        """Use `open`."""
        self._database = database
        self.folders = Folders(database)
        self.files = Files(database)
        self.photos = Photos(database)
        self.models = Models(database)
        self.analyses = Analyses(database)
        self.concepts = Concepts(database)
        self.tags = Tags(database)

    @classmethod
    def open(cls, path: Path, patience: float = PATIENCE) -> Catalog:
        """The catalog in a database file, made (for its owner only) or upgraded as needed.

        One that cannot be written, as on a read-only disk, can be asked all the same.
        patience: seconds to wait for another process's write before giving up.
        Raises LibraryError: from a newer version, damaged, no permission.
        """
        database = Unwritable(path) if cannot_be_written(path) else Database(path, patience)
        try:
            migrate.upgrade(database)
            database.before_commit = moments.settle
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Let go of the database; the catalog answers no more."""
        self._database.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    def setting(self, key: str) -> str | None:
        """A value kept with the library, or None."""
        with self._database.read() as connection:
            row = connection.execute(_SETTING, (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, key: str, value: str | None) -> None:
        """Keep a value with the library; None forgets it."""
        with self._database.write() as connection:
            if value is None:
                connection.execute(_FORGET_SETTING, (key,))
            else:
                connection.execute(_KEEP_SETTING, (key, value))

    def indexed_with(self) -> str | None:
        """The id of the model that photos await, None before the first.

        It is not the active one until it has analysed them all.
        """
        active = self.models.active()
        return self.setting(INDEXED_WITH) or (None if active is None else active.model_id)

    def status(self) -> Status:
        """Figures about the whole library."""
        models = self.models.all()
        with self._database.read() as connection:
            files = {FileState(state): n for state, n in connection.execute(_STATES)}
            photos, failures, concepts, tags = connection.execute(_FIGURES).fetchone()
        return Status(
            photos=photos,
            files={state: files.get(state, 0) for state in FileState},
            failures=failures,
            models=models,
            concepts=concepts,
            tags=tags,
            awaiting=self.analyses.awaiting_count(self.indexed_with() or ""),
            database_bytes=self._database.size(),
            token_bytes=sum(map(_token_bytes, models)),
        )


def _token_bytes(model: ModelRecord) -> int:
    """From the tokens' shape, int8 numbers and a float32 scale: to measure the blobs reads all."""
    return model.analyses * (model.token_count or 0) * ((model.token_width or 0) + 4)
