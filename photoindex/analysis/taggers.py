"""Tagger plugins: found by entry point, asked which models they know and which folder is theirs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from photoindex.errors import ModelError
from photoindex.tagger import (
    ENTRY_POINT_GROUP,
    LoadOptions,
    ModelCard,
    ModelSource,
    Scorer,
    Tagger,
    TaggerPlugin,
)

_log = logging.getLogger(__name__)


@cache
def plugins() -> tuple[TaggerPlugin, ...]:
    """Every installed tagger plugin; one that cannot be imported is reported and left out."""
    found: list[TaggerPlugin] = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        try:
            found.append(entry.load())
        except (ImportError, AttributeError) as error:
            _log.warning("the tagger plugin %s cannot be loaded: %s", entry.name, error)
    return tuple(found)


def sources() -> tuple[ModelSource, ...]:
    """The models that installed plugins know by name."""
    return tuple(source for plugin in plugins() for source in plugin.sources())


def describe(folder: Path, options: LoadOptions) -> ModelCard:
    """What the model in a folder is, without loading a network. Raises ModelError."""
    return _plugin_of(folder, plugins()).describe(folder, options)


def load_scorer(folder: Path, options: LoadOptions) -> Scorer:
    """What a single search needs of the model in a folder. Raises ModelError."""
    return _plugin_of(folder, plugins()).load_scorer(folder, options)


def load_tagger(folder: Path, options: LoadOptions) -> Tagger:
    """The model in a folder, by the first plugin that takes it. Raises ModelError."""
    return _plugin_of(folder, plugins()).load(folder, options)


def is_model_folder(folder: Path) -> bool:
    """Whether any installed plugin can load what a folder holds."""
    return any(plugin.accepts(folder) for plugin in plugins())


def build_model(source: Path, folder: Path, name: str) -> None:
    """Turn published files into a model folder, by the first plugin that knows their kind.

    Raises ModelError.
    """
    for plugin in plugins():
        if plugin.recognises(source):
            return plugin.build(source, folder, name)
    raise ModelError(
        f"no model can be made of {source}: give a RAM++ .pth, a folder with one, "
        "or a vocabulary (a .txt of one tag a line)"
    )


def _plugin_of(folder: Path, candidates: Sequence[TaggerPlugin]) -> TaggerPlugin:
    for plugin in candidates:
        if plugin.accepts(folder):
            return plugin
    names = ", ".join(plugin.name for plugin in candidates) or "none"
    raise ModelError(
        f"{folder} is no model folder of an installed tagger ({names}): import it with "
        '"photoindex models import", or install its plugin'
    )
