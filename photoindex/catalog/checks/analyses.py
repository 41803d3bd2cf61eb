"""What is stored of analysed photos: embeddings and image tokens that cannot be right."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from photoindex.catalog.ids import AMONG, as_ids, listed
from photoindex.catalog.recording import forget_analyses
from photoindex.tagger import Progress

_AT_ONCE = 1024
_LENGTH_OFF = 1e-3
"""How far from 1 an embedding's length may be: float32 is some 1e-7 off."""

_MODELS = "SELECT id, model_id, name, embedding_size, token_count, token_width FROM models"
_SHAPES = """
    SELECT analyses.id, photo_id, length(embedding), length("values"), length(scales), width
    FROM analyses LEFT JOIN image_tokens ON analysis_id = analyses.id
    WHERE model_id = ? AND analyses.id > ? ORDER BY analyses.id LIMIT ?"""
_CONTENTS = f"""
    SELECT analyses.id, embedding, scales
    FROM analyses LEFT JOIN image_tokens ON analysis_id = analyses.id
    WHERE analyses.id {AMONG}"""
_STILL = f"SELECT photo_id FROM analyses WHERE id {AMONG} AND model_id = ?"
_WITH_FILE = f"""
    SELECT DISTINCT photo_id FROM files WHERE photo_id {AMONG} AND state = 'present'"""
_CHANGED = "UPDATE models SET generation = random() WHERE id = ?"


class Flaw(StrEnum):
    """What is wrong with an analysis."""

    EMBEDDING_SIZE = "embeddings of another size"
    EMBEDDING = "embeddings that are not finite or not of unit length"
    NO_TOKENS = "without image tokens"
    TOKEN_SHAPE = "image tokens of another shape"
    TOKENS = "image tokens whose scales make no sense"


@dataclass(frozen=True, slots=True)
class Damaged:
    """An analysis that cannot be right. number: the analysis'; model: its row."""

    number: int
    model: int
    photo_id: int
    flaw: Flaw


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a model's analyses look like; tokens is None where they have none."""

    embedding: int
    tokens: tuple[int, int] | None


def damaged(connection: sqlite3.Connection, closely: bool, progress: Progress) -> Iterator[Damaged]:
    """Analyses that cannot be right. closely: look at the numbers, not at their count alone."""
    for model, _, name, embedding, tokens, width in connection.execute(_MODELS).fetchall():
        shape = _Shape(embedding, None if tokens is None else (tokens, width))
        last = 0
        while rows := connection.execute(_SHAPES, (model, last, _AT_ONCE)).fetchall():
            last = rows[-1][0]
            progress(f"reading analyses of {name}", last, None)
            wrong = {row[0]: flaw for row in rows if (flaw := _flaw_of(row[2:], shape))}
            if closely:
                others = [row[0] for row in rows if row[0] not in wrong]
                wrong |= _wrong_numbers(connection, others)
            for number, photo_id, *_ in rows:
                if number in wrong:
                    yield Damaged(number, model, photo_id, wrong[number])


def can_be_made_again(
    connection: sqlite3.Connection, found: Sequence[Damaged], here: frozenset[str]
) -> Iterator[Damaged]:
    """Those whose photo has a file now and whose model is on this machine."""
    models = {row[0] for row in connection.execute(_MODELS) if row[1] in here}
    asked = listed({one.photo_id for one in found})
    photos = set(as_ids(connection.execute(_WITH_FILE, (asked,))).tolist())
    return (one for one in found if one.model in models and one.photo_id in photos)


def forget(connection: sqlite3.Connection, found: Sequence[Damaged]) -> int:
    """Drop analyses that were not made anew meanwhile. Returns how many."""
    dropped = 0
    for model in {one.model for one in found}:
        numbers = listed([one.number for one in found if one.model == model])
        photos = as_ids(connection.execute(_STILL, (numbers, model))).tolist()
        forget_analyses(connection, model, photos)
        connection.execute(_CHANGED, (model,))
        dropped += len(photos)
    return dropped


def _flaw_of(lengths: Sequence[int | None], shape: _Shape) -> Flaw | None:
    embedding, values, scales, width = lengths
    if embedding != 4 * shape.embedding:
        return Flaw.EMBEDDING_SIZE
    if shape.tokens is None:
        return None if values is None else Flaw.TOKEN_SHAPE
    if values is None:
        return Flaw.NO_TOKENS
    tokens, wide = shape.tokens
    same = (values, scales, width) == (tokens * wide, 4 * tokens, wide)
    return None if same else Flaw.TOKEN_SHAPE


def _wrong_numbers(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, Flaw]:
    wrong: dict[int, Flaw] = {}
    for number, embedding, scales in connection.execute(_CONTENTS, (listed(numbers),)):
        vector = np.frombuffer(embedding, dtype="<f4").astype(np.float64)
        if not abs(np.sqrt(vector @ vector) - 1) < _LENGTH_OFF:  # neither is what is not a number
            wrong[number] = Flaw.EMBEDDING
        elif scales is not None:
            steps = np.frombuffer(scales, dtype="<f4")
            if not (np.isfinite(steps) & (steps > 0)).all():
                wrong[number] = Flaw.TOKENS
    return wrong
