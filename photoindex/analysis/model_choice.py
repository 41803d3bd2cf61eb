"""Which model a library is indexed and searched with, and opening no more of it than is asked."""

from __future__ import annotations

from typing import TypeVar

from photoindex.analysis.installed import InstalledModels
from photoindex.analysis.on_demand import OnDemandTagger
from photoindex.catalog.catalog import INDEXED_WITH, Catalog
from photoindex.config import DEFAULT_MODEL, Settings
from photoindex.errors import ModelError
from photoindex.tagger import Progress, Scorer, Tagger

_MODEL = "model"
S = TypeVar("S", bound=Scorer)


class ModelChoice:
    """One library's models. What was opened stays open."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self.installed = InstalledModels(settings.models, settings.device, settings.precision)
        self._taggers: dict[str, OnDemandTagger] = {}
        self._scorers: dict[str, Scorer] = {}

    @property
    def name(self) -> str:
        """The model that indexing uses: the one asked for, else the library's, else the default."""
        return self._settings.model or self._catalog.setting(_MODEL) or DEFAULT_MODEL

    def ensure(self, progress: Progress) -> None:
        """Fetch the model that indexing uses if it is not here.

        Raises DownloadError, ModelError.
        """
        if self.installed.folder_of(self.name) is None:
            self.installed.pull(self.name, progress)

    def for_indexing(self) -> Tagger:
        """The model that new photos are analysed with, registered in the catalog.

        Raises ModelError.
        """
        name = self.name
        tagger = self._tagger(name)
        folder = self.installed.folder_of(name)
        kept = str(folder) if folder is not None and ("/" in name) else name
        self._catalog.models.register(
            tagger.model_id, kept, tagger.embedding_size, tagger.vocabulary
        )
        if self._catalog.models.active() is None:
            self._catalog.models.activate(tagger.model_id)
        for key, value in ((_MODEL, kept), (INDEXED_WITH, tagger.model_id)):
            if self._catalog.setting(key) != value:
                self._catalog.set_setting(key, value)
        return tagger

    def for_stored_photos(self) -> Tagger:
        """The model that stored photos were analysed with. Raises ModelError."""
        name = self._name_of_active()
        return self._checked(self._tagger(name), name) if name else self.for_indexing()

    def for_searching(self) -> Scorer:
        """The half of the same model that reads texts, as quickly as it can be had.

        What is open already serves as well. Raises ModelError.
        """
        name = self._name_of_active()
        if name is None:
            return self.for_indexing()
        tagger = self._taggers.get(name)
        if tagger is not None and tagger.is_open:
            return self._checked(tagger, name)
        if name not in self._scorers:
            self._scorers[name] = self.installed.scorer(name)
        return self._checked(self._scorers[name], name)

    def _name_of_active(self) -> str | None:
        """By which name the active model is found: where the settings say if it has moved."""
        active = self._catalog.models.active()
        if active is None:
            return None
        asked = self._settings.model
        moved = asked is not None and self.installed.folder_of(active.name) is None
        return asked if moved else active.name

    def _checked(self, model: S, name: str) -> S:
        active = self._catalog.models.active()
        if active is not None and model.model_id != active.model_id:
            raise ModelError(
                f"the library was analysed by {active.model_id}, but {name} is now "
                f'{model.model_id}: run "photoindex index" to analyse it again'
            )
        return model

    def _tagger(self, name: str) -> OnDemandTagger:
        if name not in self._taggers:
            card = self.installed.describe(name)
            self._taggers[name] = OnDemandTagger(card, lambda: self.installed.load(name))
        return self._taggers[name]
