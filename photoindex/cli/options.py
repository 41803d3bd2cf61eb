"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|FOLDER", help='The model to use: "photoindex models" lists them.'
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1 …")
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision", metavar="PRECISION", help="auto, fp32 or bf16; auto is bf16 where fast."
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Leave these names out; may be repeated."),
]
AsJsonLines = Annotated[
    bool, typer.Option("--json", help="A JSON document a line on standard output.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
