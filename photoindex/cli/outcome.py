"""What a run did, put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoindex.terminal.wording import count

if TYPE_CHECKING:
    from photoindex.analysis.tally import Tally


def summary(tally: Tally) -> str:
    """What a run did, in one line."""
    parts = [f"{count(tally.analysed, 'photo')} analysed"] if tally.analysed else []
    if tally.moved:
        parts.append(f"{tally.moved:,} moved")
    if tally.back:
        parts.append(f"{tally.back:,} back")
    if tally.offline:
        parts.append(f"{tally.offline:,} offline")
    if tally.linked:
        parts.append(f"{count(tally.linked, 'file')} of known photos")
    if tally.failed:
        parts.append(f'{tally.failed:,} unreadable ("photoindex failures" says why)')
    if tally.deleted:
        parts.append(f"{tally.deleted:,} gone")
    if tally.unsettled:
        parts.append(f"{tally.unsettled:,} not read yet: being written, or out of reach")
    return ", ".join(parts) or "0 photos analysed"
