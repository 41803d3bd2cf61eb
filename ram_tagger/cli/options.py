"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """What `--precision` takes."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
PrecisionOption = Annotated[
    Precision, typer.Option(help="auto is bf16 where that is fast and the model large.")
]
ModelDir = Annotated[
    Path | None, typer.Option(help="A model folder (default: the bundled sketch).")
]
