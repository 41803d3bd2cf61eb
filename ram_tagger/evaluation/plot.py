"""The precision-recall plot of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ram_tagger.errors import RamTaggerError
from ram_tagger.evaluation.curves import mean_curve, overall_curve
from ram_tagger.evaluation.report import AtThreshold, Report
from ram_tagger.evaluation.scores import Scores
from ram_tagger.evaluation.thresholds import first_columns
from ram_tagger.writing import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OVERALL, MEAN = "#1f5fa8", "#c8501e"
INCHES, DPI = (7.2, 6.0), 150
LEVELS = (0.2, 0.4, 0.6, 0.8)
"""The values of F1 whose lines are drawn to compare with."""


def check_plotting() -> None:
    """Raises RamTaggerError where matplotlib, which is an extra, is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise RamTaggerError(
            'a plot needs matplotlib: pip install "photoindex[train]", or leave out --plot'
        ) from error


def write_plot(path: Path, scores: Scores, report: Report) -> None:
    """Draw the curves over all pairs and over tags, and where the thresholds put them, as PNG.

    A tag that is listed twice is drawn once, by its first column. Raises RamTaggerError.
    """
    check_plotting()
    from matplotlib.figure import Figure

    first = first_columns(scores.tags)
    values, truth = scores.values[:, first], scores.truth[:, first]
    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    _draw_levels(axes)
    for curve, colour, label in (
        (overall_curve(values, truth), OVERALL, "overall, one threshold for all tags"),
        (mean_curve(values, truth), MEAN, "mean over tags"),
    ):
        axes.plot(curve.recalls, curve.precisions, color=colour, linewidth=2, label=label)
    _mark(axes, report.overall, OVERALL, "o", 13, "overall")
    _mark(axes, report.mean, MEAN, "D", 7, "mean over tags")
    _label(axes, report)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    with written_whole(path) as file:
        figure.savefig(file, format="png")  # matplotlib takes its Agg backend for it


def _draw_levels(axes: Axes) -> None:
    """Where F1 is the same, thin and grey."""
    for f1 in LEVELS:
        recalls = [f1 / 2 + (1 - f1 / 2) * step / 200 for step in range(1, 201)]
        precisions = [f1 * recall / (2 * recall - f1) for recall in recalls]
        axes.plot(recalls, precisions, color="0.85", linewidth=0.8, zorder=1)
        at_end = f1 / (2 - f1)
        axes.annotate(
            f"F1 {f1}",
            (1.0, at_end),
            xytext=(4, 0),
            textcoords="offset points",
            annotation_clip=False,
            color="0.55",
            fontsize=8,
            verticalalignment="center",
        )


def _mark(
    axes: Axes, at: AtThreshold | None, colour: str, marker: str, size: float, what: str
) -> None:
    if at is None:
        return
    axes.plot(
        at.recall,
        at.precision,
        marker,
        color=colour,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=1.5,
        zorder=5,
        clip_on=False,
        label=f"{what}, as given: precision {at.precision:.3f}, recall {at.recall:.3f}",
    )


def _label(axes: Axes, report: Report) -> None:
    kind = "open set" if report.open_set else "closed set"
    by = "CLIP" if report.by == "clip" else "decoder"
    axes.set_title(
        f"{_short(report.benchmark)}: mAP {report.mean_average_precision:.3f}\n"
        f"{len(report.tags):,} tags, {report.pictures:,} pictures, {kind}, "
        f"{_short(report.model_id)} by {by}",
        fontsize=11,
        parse_math=False,
    )
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(name: str) -> str:
    """A name that fits a title and that its font can write."""
    plain = name if name.isascii() and name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= 40 else plain[:39] + "…"
