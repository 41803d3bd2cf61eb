"""Which model a library is indexed and searched with, and opening no more of it than is asked."""

from __future__ import annotations

from typing import TypeVar

from photoindex.analysis.installed import InstalledModels
from photoindex.analysis.on_demand import OnDemandTagger
from photoindex.catalog.catalog import INDEXED_WITH, Catalog
from photoindex.catalog.records import ModelRecord
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
        active = self._catalog.models.active()
        return self.for_indexing() if active is None else self.for_examples(active)

    def for_examples(self, wanted: ModelRecord | None) -> Tagger:
        """A model that looks at example pictures of a search. Raises ModelError.

        wanted: the one whose analyses are searched; None before the first, when it is the one
        that indexing will use.
        """
        if wanted is None:
            return self._tagger(self.name)
        name = self._name_of(wanted)
        if not _is(self._tagger(name), wanted):  # put in place of another one meanwhile, perhaps
            del self._taggers[name]
        return _checked(self._tagger(name), wanted, name)

    def for_searching(self, wanted: ModelRecord | None) -> Scorer:
        """The half of the same model that reads texts, as quickly as it can be had.

        What is open already serves as well. Raises ModelError.
        """
        if wanted is None:
            return self._tagger(self.name)
        name = self._name_of(wanted)
        tagger = self._taggers.get(name)
        if tagger is not None and tagger.is_open and _is(tagger, wanted):
            return tagger
        scorer = self._scorers.get(name)
        if scorer is None or not _is(scorer, wanted):
            scorer = self._scorers[name] = self.installed.scorer(name)
        return _checked(scorer, wanted, name)

    def _name_of(self, wanted: ModelRecord) -> str:
        """By which name a model is found: where the settings say if it has moved."""
        asked = self._settings.model
        moved = asked is not None and self.installed.folder_of(wanted.name) is None
        return asked if asked is not None and moved else wanted.name

    def _tagger(self, name: str) -> OnDemandTagger:
        if name not in self._taggers:
            card = self.installed.describe(name)
            self._taggers[name] = OnDemandTagger(card, lambda: self.installed.load(name))
        return self._taggers[name]


def _is(model: Scorer, wanted: ModelRecord) -> bool:
    return model.model_id == wanted.model_id


def _checked(model: S, wanted: ModelRecord, name: str) -> S:
    if not _is(model, wanted):
        raise ModelError(
            f"the library was analysed by {wanted.model_id}, but {name} is now "
            f'{model.model_id}: run "photoindex index" to analyse it again'
        )
    return model
