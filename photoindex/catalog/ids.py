"""Sets of ids of any size in a query."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Result, func, select
from sqlalchemy.orm import InstrumentedAttribute

from photoindex.tagger import AnyIds, Ids


def among(column: InstrumentedAttribute[Any], ids: AnyIds) -> ColumnElement[bool]:
    """`column` is one of `ids`. They travel as one JSON parameter, as SQLite limits parameters."""
    given = func.json_each(json.dumps(as_list(ids))).table_valued("value")
    return column.in_(select(given.c.value))


def as_list(ids: AnyIds) -> list[int]:
    """Plain Python numbers, in order."""
    return [int(one) for one in ids]


def as_ids(rows: Result[tuple[int]]) -> Ids:
    """The only column of a result, (n,) int64."""
    return np.fromiter(rows.scalars(), dtype=np.int64)
