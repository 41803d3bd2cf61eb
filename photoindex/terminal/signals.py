"""Ending a long run well: the first signal asks, the second insists."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

_NOTE = b"ending; once more stops at once\n"


@dataclass(slots=True)
class Stop:
    """Set by a signal; `number` is the signal's, None while none came."""

    event: threading.Event = field(default_factory=threading.Event)
    number: int | None = None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a command that a signal ended."""
        return 0 if self.number is None else 128 + self.number


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """While this lasts, SIGINT and SIGTERM set the event once, then act as they always do."""
    stop = Stop()
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in earlier.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.number = number
        stop.event.set()
        restore()  # first: a second signal may come at any moment
        os.write(2, _NOTE)  # a buffered write may not be interrupted by another one

    for number in earlier:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
