"""Being asked to stop before the end."""

from __future__ import annotations

from typing import Protocol


class Stopping(Protocol):
    """Something that may ask for an early end: a threading.Event, say."""

    def is_set(self) -> bool: ...
