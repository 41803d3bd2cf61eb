"""What the global options say, and the library they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from photoindex.config import Settings

if TYPE_CHECKING:
    from photoindex.analysis.installed import InstalledModels
    from photoindex.library import Library


@dataclass(frozen=True, slots=True)
class Session:
    """Where library and models are, as far as the command line tells."""

    library: Path | None = None
    models: Path | None = None

    def settings(self, **options: Any) -> Settings:
        """The settings in force; an option that is None was not given. Raises UsageError."""
        return Settings.load(library=self.library, models=self.models, **options)

    def open_library(self, create: bool = False, **options: Any) -> Library:
        """The library, made where it is missing only for commands that fill it."""
        from photoindex.library import Library

        return Library.open(self.settings(**options), create)

    def installed_models(self) -> InstalledModels:
        """The models folder, which needs no library."""
        from photoindex.analysis.installed import InstalledModels

        settings = self.settings()
        return InstalledModels(settings.models, settings.device, settings.precision)


def session_of(context: typer.Context) -> Session:
    """The session that the global options made."""
    session = context.find_object(Session)
    return session if session is not None else Session()
