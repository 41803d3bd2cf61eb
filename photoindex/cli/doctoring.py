"""`doctor`: what a library needs, and mending what can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from photoindex.cli.options import AsJson
from photoindex.cli.session import session_of
from photoindex.errors import ExitCode
from photoindex.terminal.json_output import print_json
from photoindex.terminal.lines import remark
from photoindex.terminal.progress import meter
from photoindex.terminal.wording import count, shown

if TYPE_CHECKING:
    from photoindex.health.records import Report

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(
    context: typer.Context,
    mend: Annotated[
        bool, typer.Option("--repair", help="Mend what can be made again, and say what it was.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what takes long on a large library.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check library, vector index, models, watched folders and machine.

    Says what to do about what it finds. Nothing is written without --repair, which never deletes
    what cannot be made again. Ends with 3 where a problem is left.
    """
    settings = session_of(context).settings()
    with meter() as progress:
        if mend:
            from photoindex.health.repair import repair

            report = repair(settings, quick, progress)
        else:
            from photoindex.health.examination import examine

            report = examine(settings, quick, progress)
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    if not report.sound:
        raise typer.Exit(ExitCode.CANNOT)


def _print(report: Report) -> None:
    """A line a finding, below it what to do; coloured on terminals."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    verdicts = max(len(one.verdict) for one in report.findings)
    checks = max(len(one.check) for one in report.findings)
    for one in report.findings:
        verdict = (f"{one.verdict:<{verdicts}}", _STYLES[one.verdict])
        console.print(Text.assemble(verdict, f"  {one.check:<{checks}}  {shown(one.found)}"))
        if one.advice:
            indent = " " * (verdicts + checks + 4)
            console.print(Text(f"{indent}-> {shown(one.advice)}"))
    for done in report.mended:
        remark(f"mended: {shown(done.done)}")
    problems = sum(one.verdict == "problem" for one in report.findings)
    left = " left" if report.mended else ""
    remark(f"{count(problems, 'problem')}{left}" if problems else f"no problem{left}")


def _document(report: Report) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "findings": [
            {
                "check": one.check,
                "verdict": one.verdict.value,
                "found": one.found,
                "advice": one.advice or None,
                "mendable": one.mend is not None,
            }
            for one in report.findings
        ],
        "mended": [one.done for one in report.mended],
    }
