"""`serve`: quick answers to searches without watching folders."""

from __future__ import annotations

import typer

from photoindex.cli.options import Device, Precision
from photoindex.cli.session import session_of
from photoindex.terminal.lines import remark
from photoindex.terminal.signals import stop_on_signals
from photoindex.terminal.wording import shown


def serve(context: typer.Context, device: Device = None, precision: Precision = None) -> None:
    """Answer searches quickly until Ctrl-C.

    Keeps the model and the index in memory for the searches of this user on this machine, as
    `watch` does anyway. For libraries that are indexed now and then.
    """
    session = session_of(context)
    with (
        session.open_library(device=device, precision=precision) as library,
        stop_on_signals() as stop,
        library.lending(),
    ):
        remark(f"answering searches of {shown(library.settings.library)}, Ctrl-C ends")
        stop.event.wait()
    remark("stopped")
