"""Sets of ids of any size in a query."""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from photoindex.tagger import AnyIds, Ids

AMONG = "IN (SELECT value FROM json_each(?))"
"""The condition that a column is one of some ids, given `listed`: SQLite limits parameters."""


def listed(ids: AnyIds) -> str:
    """Ids as the one parameter that `json_each` takes."""
    return json.dumps(as_list(ids))


def as_list(ids: AnyIds) -> list[int]:
    """Plain Python numbers, in order."""
    return [int(one) for one in as_array(ids).tolist()]


def as_array(ids: AnyIds) -> Ids:
    """(n,) int64, in order."""
    return np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype=np.int64)


def ascending(ids: AnyIds) -> Ids:
    """(n,) int64, ascending and none twice."""
    array = as_array(ids)
    return array if (array[1:] > array[:-1]).all() else np.unique(array)


def as_ids(rows: sqlite3.Cursor) -> Ids:
    """The only column of a result, (n,) int64."""
    return np.fromiter((one for (one,) in rows), dtype=np.int64)
