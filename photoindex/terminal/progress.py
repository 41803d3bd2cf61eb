"""Progress on standard error: a bar with rate and time left, or a plain line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from photoindex.terminal.lines import remark
from photoindex.terminal.wording import duration, size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LINE_EVERY = 10.0
"""Seconds between two plain lines."""
_IN_BYTES = ("downloading ", "checking ", "copying ")


class Meter(Protocol):
    """Shows how far something has come; see `photoindex.tagger.Progress`."""

    def __call__(self, what: str, done: int, total: int | None) -> None: ...

    def clear(self) -> None:
        """Take away what is shown, because lines are to be printed."""
        ...

    def pause(self) -> None:
        """The same in the middle of a stage, which goes on being measured."""
        ...


class Pace:
    """How fast one stage goes, measured from its first report on."""

    def __init__(self, what: str, done: int, now: float) -> None:
        self.what = what
        self._first, self._began = done, now

    def figures(self, done: int, total: int | None, now: float) -> str:
        """ "120 of 900, 12.0/s, 1 min 5 s left"."""
        amount = size if self.what.startswith(_IN_BYTES) else "{:,}".format
        parts = [amount(done) if total is None else f"{amount(done)} of {amount(total)}"]
        elapsed = now - self._began
        if elapsed >= 1 and done > self._first:
            rate = (done - self._first) / elapsed
            parts.append(f"{size(rate) if amount is size else f'{rate:.1f}'}/s")
            if total is not None:
                parts.append(f"{duration((total - done) / rate)} left")
        return ", ".join(parts)


class LineMeter:
    """For logs and pipes: one line every few seconds, none for what is over sooner."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._pace: Pace | None = None
        self._due = 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = self._clock()
        if self._pace is None or self._pace.what != what:
            self._pace = Pace(what, done, now)
            self._due = now + LINE_EVERY
        elif now >= self._due:
            self._due = now + LINE_EVERY
            self._write(f"{what}: {self._pace.figures(done, total, now)}")

    def clear(self) -> None:
        """A new stage begins with the next report."""
        self._pace = None

    def pause(self) -> None:
        """Nothing is in the way of other lines."""


class BarMeter:
    """For terminals: one bar, that of the stage in hand."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._pace: Pace | None = None
        self._task = bars.add_task("", visible=False, figures="")

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._pace is None or self._pace.what != what:
            self._pace = Pace(what, done, now)
        if not self._bars.live.is_started:
            self._bars.start()
        self._bars.update(
            self._task,
            description=what,
            completed=done,
            total=total,
            visible=total is None or done < total,
            figures=self._pace.figures(done, total, now),
        )

    def clear(self) -> None:
        """Remove the bar; the next report brings it back."""
        self._pace = None
        self._bars.stop()

    def pause(self) -> None:
        """Remove the bar; the next report brings it back with the rate so far."""
        self._bars.stop()


@contextmanager
def meter() -> Iterator[Meter]:
    """A meter that suits standard error, taken away at the end."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield LineMeter(remark)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    shown = BarMeter(bars)
    try:
        yield shown
    finally:
        shown.clear()
