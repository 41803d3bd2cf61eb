"""The catalog: everything the library knows, in one SQLite database. The door to this room."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.dialects.sqlite import insert

from photoindex.catalog import migrate
from photoindex.catalog.analyses import Analyses
from photoindex.catalog.concepts import Concepts
from photoindex.catalog.database import PATIENCE, Database
from photoindex.catalog.files import Files, Folders
from photoindex.catalog.models import Models
from photoindex.catalog.photos import Photos
from photoindex.catalog.records import Status
from photoindex.catalog.schema import (
    AnalysisRow,
    ConceptRow,
    File,
    Model,
    Photo,
    PhotoTagRow,
    Setting,
    TagRow,
    TokensRow,
)
from photoindex.catalog.tags import Tags
from photoindex.photo import FileState


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

        patience: seconds to wait for another process's write before giving up.
        Raises LibraryError: from a newer version, damaged, no permission.
        """
        database = Database(path, patience)
        try:
            migrate.upgrade(database)
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
            query = select(Setting.value).where(Setting.key == key)
            return connection.execute(query).scalar_one_or_none()

    def set_setting(self, key: str, value: str | None) -> None:
        """Keep a value with the library; None forgets it."""
        with self._database.write() as connection:
            if value is None:
                connection.execute(delete(Setting).where(Setting.key == key))
            else:
                connection.execute(
                    insert(Setting)
                    .values(key=key, value=value)
                    .on_conflict_do_update(index_elements=["key"], set_={"value": value})
                )

    def status(self) -> Status:
        """Figures about the whole library."""
        models = self.models.all()
        active = next((model.model_id for model in models if model.active), "")
        with self._database.read() as connection:
            carried = exists().where(PhotoTagRow.tag_id == TagRow.id)

            def count(query: Select[Any]) -> int:
                return int(connection.execute(query).scalar_one())

            states = select(File.state, func.count()).group_by(File.state)
            files = {FileState(state): n for state, n in connection.execute(states)}
            return Status(
                photos=count(select(func.count(Photo.id))),
                files={state: files.get(state, 0) for state in FileState},
                failures=count(select(func.count(File.id)).where(File.failure.is_not(None))),
                models=models,
                concepts=count(select(func.count(ConceptRow.id))),
                tags=count(select(func.count(TagRow.id)).where(carried)),
                awaiting=self.analyses.awaiting_count(active),
                database_bytes=self._database.size(),
                token_bytes=count(_token_bytes()),
            )


def _token_bytes() -> Select[Any]:
    """From the tokens' shape: to measure the blobs would read the whole table."""
    one = Model.token_count * (Model.token_width + 4)  # int8 numbers and a float32 scale
    return (
        select(func.coalesce(func.sum(one), 0)).select_from(TokensRow).join(AnalysisRow).join(Model)
    )
