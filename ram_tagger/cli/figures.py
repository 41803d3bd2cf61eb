"""How the figures of `evaluate` look in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from photoindex.terminal.tables import Column, print_table
from photoindex.terminal.wording import count, shown

if TYPE_CHECKING:
    from ram_tagger.evaluation.report import AtThreshold, Report, TagFigures

WEAKEST = 10
"""How many tags are shown without `--per-tag`."""


def print_report(report: Report, tuned: Report | None, per_tag: bool) -> None:
    """Overall figures, then every tag or the weakest. tuned: the same at tuned thresholds."""
    kind = "open set" if report.open_set else "closed set"
    typer.echo(
        f"{shown(report.benchmark)}, {kind}: {count(report.pictures, 'picture')}, "
        f"{count(len(report.tags), 'tag')}, {shown(report.model_id)} by {report.by}"
    )
    typer.echo(f"mAP {report.mean_average_precision:.3f}")
    if report.never_true:
        typer.echo(f"{count(report.never_true, 'tag')} true of no picture, counted in mAP as 0")
    overall = [*_overall(report, ""), *(_overall(tuned, ", tuned") if tuned else ())]
    if overall:
        typer.echo()
        headings = ("precision", "recall", "F1")
        print_table([Column(""), *(Column(title, right=True) for title in headings)], overall)
    tags = report.tags if per_tag else report.weakest[:WEAKEST]
    typer.echo(f"\n{'all tags' if per_tag else 'weakest tags'}")
    _print_tags(tags, tuned)


def _overall(report: Report, remark: str) -> Iterator[tuple[str, ...]]:
    for name, at in (("mean over tags", report.mean), ("overall", report.overall)):
        if at is not None:
            yield (name + remark, *_three(at))


def _print_tags(tags: Sequence[TagFigures], tuned: Report | None) -> None:
    limits = {tag.tag: tag.threshold for tag in tuned.tags} if tuned else {}
    columns, rows = ["AP", "true"], [[_figure(t.average_precision), f"{t.true:,}"] for t in tags]
    if all(tag.at for tag in tags):
        columns += ["given", "precision", "recall", "F1", "threshold"]
    if tuned:
        columns.append("tuned")
    for row, tag in zip(rows, tags, strict=True):
        if tag.at is not None:
            row += [f"{tag.given:,}", *_three(tag.at), f"{tag.threshold:g}"]
        if tuned:
            row.append(f"{limits[tag.tag]:g}")
        row.append(tag.tag)
    print_table([*(Column(title, right=True) for title in columns), Column("tag")], rows)


def _three(at: AtThreshold) -> tuple[str, str, str]:
    return _figure(at.precision), _figure(at.recall), _figure(at.f1)


def _figure(value: float) -> str:
    return f"{value:.3f}"
