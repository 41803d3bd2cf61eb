"""The models that a library needs: here, whole, and the same that analysed its photos."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from photoindex.analysis.installed import InstalledModels
from photoindex.catalog.records import ModelRecord
from photoindex.config import DEFAULT_MODEL, Settings
from photoindex.errors import ModelError
from photoindex.health.reading import Look, Opened
from photoindex.health.records import Finding, note, ok, problem
from photoindex.terminal.wording import size

MODEL = "model"
_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit


@dataclass(frozen=True, slots=True)
class NeededModel:
    """A model that a library needs. record: what it knows of it, None where it never had it."""

    name: str
    record: ModelRecord | None


def needed(settings: Settings, opened: Opened | None) -> list[NeededModel]:
    """The model in use, and the one that indexing uses where that is another."""
    records = () if opened is None else opened.catalog.models.all()
    kept = None if opened is None else opened.catalog.setting("model")
    indexing = settings.model or kept or DEFAULT_MODEL
    active = next((record for record in records if record.active), None)
    found = [] if active is None else [NeededModel(active.name, active)]
    if active is None or active.name != indexing:
        record = next((record for record in records if record.name == indexing), None)
        found.append(NeededModel(indexing, record))
    return found


def ids_here(look: Look, opened: Opened) -> frozenset[str]:
    """The ids of the models of this library that are on this machine as they were."""
    here = set()
    for record in opened.catalog.models.all():
        try:
            here.add(_installed(look).describe(record.name).model_id)
        except ModelError:
            continue
    return frozenset(here)


def check_models(look: Look, opened: Opened | None) -> Iterator[Finding]:
    """Every model that is needed."""
    for model in needed(look.settings, opened):
        yield _check(_installed(look), model)


def _installed(look: Look) -> InstalledModels:
    settings = look.settings
    return InstalledModels(settings.models, settings.device, settings.precision)


def _check(installed: InstalledModels, model: NeededModel) -> Finding:
    try:
        folder = installed.folder_of(model.name)
        if folder is None:
            return _missing(model)
        card = installed.describe(model.name)
        broken = [told for path in sorted(folder.glob("*.safetensors")) if (told := _cut(path))]
    except (ModelError, OSError) as error:
        return problem(MODEL, f"{model.name}: {error}", _again(model.name))
    if broken:
        return problem(MODEL, f"{model.name}: {', '.join(broken)}", _again(model.name))
    if model.record is not None and card.model_id != model.record.model_id:
        return problem(
            MODEL,
            f"{model.name} is {card.model_id} now, the library was analysed by "
            f"{model.record.model_id}",
            'run "photoindex index" to analyse it again, or put the former model back',
        )
    return ok(MODEL, f"{model.name}, {card.model_id}, in {folder}")


def _missing(model: NeededModel) -> Finding:
    advice = f'"photoindex models pull {model.name}" or "photoindex models import" brings it'
    if model.record is None or not model.record.analyses:
        return note(MODEL, f"{model.name}, which indexing uses, is not on this machine", advice)
    return problem(MODEL, f"{model.name} is not on this machine", advice)


def _again(name: str) -> str:
    return f'remove its folder, and "photoindex models pull {name}" or import it again'


def _cut(path: Path) -> str | None:
    """What is wrong with a safetensors file, by its header: it says how long the file is."""
    there = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else _LONGEST_HEADER + 1
        if length > min(there, _LONGEST_HEADER):
            return f"{path.name} has no header"
        try:
            tensors = json.loads(file.read(length))
            ends = [
                int(entry["data_offsets"][1])
                for name, entry in tensors.items()
                if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return f"{path.name} has a damaged header"
    whole = 8 + length + max(ends, default=0)
    return None if there == whole else f"{path.name} has {size(there)} instead of {size(whole)}"
