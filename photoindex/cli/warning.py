"""What the product warns of while a command runs."""

from __future__ import annotations

import logging

from photoindex.terminal.lines import remark
from photoindex.terminal.wording import shown


class _LinesOnStderr(logging.Handler):
    """Warnings of this product as one line each; of others', only what is an error."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.split(".")[0] in ("photoindex", "ram_tagger")
        if ours or record.levelno >= logging.ERROR:
            remark(f"photoindex: {shown(record.getMessage())}")


def warnings_on_stderr() -> None:
    """Show them from now on."""
    logging.basicConfig(level=logging.WARNING, handlers=[_LinesOnStderr()])
