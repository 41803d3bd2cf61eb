"""Threshold files: tuned on scores, written, read, and put into a model folder.

Written is one `threshold<TAB>tag` line for each tag, which says what it is about. Read as well is
the published form: one number a line, in the order of the tag list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ram_tagger.errors import RamTaggerError
from ram_tagger.evaluation.benchmark import named, read_lines
from ram_tagger.evaluation.metrics import best_thresholds
from ram_tagger.evaluation.scores import Scores
from ram_tagger.writing import written_whole

Thresholds = NDArray[np.float64]


def read_thresholds(path: Path, tags: Sequence[str], had: ArrayLike) -> Thresholds:
    """(tags,) thresholds of a file, for tags that may stand in their list several times.

    had: (tags,), what a tag keeps that a file of named tags does not name; nan where it had none.
    Raises RamTaggerError that names the line.
    """
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    if any("\t" in line for _, line in lines):
        limits = _by_name(path, lines, tags, had)
    elif len(lines) == len(tags):
        limits = np.array([_number(path, number, line) for number, line in lines])
    else:
        raise RamTaggerError(
            f"{path} has {len(lines)} thresholds for {len(tags)} tags: "
            "write one line for each, or name tags as threshold<TAB>tag"
        )
    without = [tag for tag, limit in zip(tags, limits, strict=True) if np.isnan(limit)]
    if without:
        raise RamTaggerError(f"{path} names no threshold for {named(without)}: add them")
    return limits


def write_thresholds(path: Path, tags: Sequence[str], thresholds: ArrayLike) -> None:
    """One line for each tag, in the order of the list; of one that is listed twice, the first.

    Raises RamTaggerError where there is a file of that name.
    """
    if path.exists():
        raise RamTaggerError(f"{path} is there already: name a new file")
    rows = first_columns(tags)
    limits = np.asarray(thresholds)
    with written_whole(path) as file:
        file.write("".join(f"{float(limits[row])}\t{tags[row]}\n" for row in rows).encode())


def tune_thresholds(scores: Scores) -> Thresholds:
    """(tags,) the thresholds with the best F1 of each tag, in as few digits as give it.

    A tag that is listed twice gets one, that of its first column, on which precision and recall
    rest. A tag that is true of no picture keeps the threshold that it had. Raises RamTaggerError
    for scores by CLIP.
    """
    if scores.by == "clip":
        raise RamTaggerError("thresholds are of the decoder: tune them on scores --by decoder")
    first = first_columns(scores.tags)
    values, truth = scores.values[:, first], scores.truth[:, first]
    best = best_thresholds(values, truth)
    of = {scores.tags[column]: at for at, column in enumerate(first)}
    tuned = scores.thresholds.copy()
    for column, tag in enumerate(scores.tags):
        at = of[tag]
        if truth[:, at].any():
            tuned[column] = _short(best[at], values[:, at])
        else:
            tuned[column] = scores.thresholds[first[at]]
    return tuned


def set_thresholds(folder: Path, file: Path) -> Mapping[str, tuple[float, float]]:
    """Write the thresholds of a file into a model folder; tags that it does not name keep theirs.

    Returns the tags whose threshold changed, with the old one and the new one. The model's id stays
    the same, since no stored figure holds thresholds. Raises RamTaggerError, CheckpointError.
    """
    from ram_tagger import model_folder

    model_folder.load_config(folder)
    labels = model_folder.load_labels(folder)
    limits = read_thresholds(file, labels.names, labels.thresholds).tolist()
    with written_whole(folder / model_folder.THRESHOLDS) as out:
        out.write("".join(f"{limit}\n" for limit in limits).encode())
    pairs = zip(labels.names, labels.thresholds, limits, strict=True)
    return {name: (old, new) for name, old, new in pairs if old != new}


def first_columns(tags: Sequence[str]) -> list[int]:
    """The column of each tag's first occurrence in a list: a tag listed twice counts once."""
    columns: dict[str, int] = {}
    for column, tag in enumerate(tags):
        columns.setdefault(tag, column)
    return list(columns.values())


def _by_name(
    path: Path, lines: Sequence[tuple[int, str]], tags: Sequence[str], had: ArrayLike
) -> Thresholds:
    known, given = set(tags), dict[str, float]()
    for number, line in lines:
        limit, tab, name = line.partition("\t")
        tag = name.strip()
        if not tab or not tag:
            raise RamTaggerError(f"{path}: line {number}: write threshold<TAB>tag")
        if tag not in known:
            raise RamTaggerError(f'{path}: line {number}: no tag "{tag}" in the list')
        if tag in given:
            raise RamTaggerError(f'{path}: line {number}: "{tag}" stands there twice: keep one')
        given[tag] = _number(path, number, limit)
    kept = np.asarray(had, dtype=np.float64)
    return np.array([given.get(tag, kept[column]) for column, tag in enumerate(tags)])


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise RamTaggerError(f"{path}: line {line} is no threshold between 0 and 1")
    return value


def _short(threshold: float, values: NDArray[np.float32]) -> float:
    """The threshold in the fewest digits, three or more, that part the values as it does."""
    above = values.astype(np.float64) > threshold
    for digits in range(3, 17):
        rounded = round(threshold, digits)
        # As RamTagger compares: in float32.
        if np.array_equal(values > np.float32(rounded), above):
            return rounded
    return float(threshold)
