"""How to search; apart, so that it costs no import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoindex.search.rank import Rank


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search.

    like: the path of an example picture; everything: also what lies under the cut;
    min_probability: 0..1, replaces the tags' thresholds and the query's own cut.
    """

    limit: int = 20
    like: Path | None = None
    rank: Rank = Rank.FUSED
    min_probability: float | None = None
    everything: bool = False
