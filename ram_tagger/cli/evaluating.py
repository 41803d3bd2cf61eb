"""`evaluate` and `set-thresholds`: how good a model's tags are, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.terminal.json_output import print_json
from photoindex.terminal.progress import meter
from photoindex.terminal.wording import count, shown
from ram_tagger.cli import figures
from ram_tagger.cli.options import Device, ModelDir, Precision, PrecisionOption
from ram_tagger.errors import RamTaggerError

if TYPE_CHECKING:
    from ram_tagger.evaluation.benchmark import Benchmark
    from ram_tagger.evaluation.scores import Scores

NAMED = 3
"""How many unreadable pictures are named."""
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


class By(StrEnum):
    """What `--by` takes."""

    DECODER = "decoder"
    CLIP = "clip"


def evaluate(
    benchmark: Annotated[
        Path | None,
        typer.Argument(
            metavar="BENCHMARK", help="A folder with *_taglist.txt, *_annots.txt and imgs/."
        ),
    ] = None,
    tag_list: Annotated[Path | None, typer.Option(help="One tag a line.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Lines of path,tag,tag,…")] = None,
    images: Annotated[Path | None, typer.Option(help="The folder that paths start from.")] = None,
    descriptions: Annotated[
        Path | None, typer.Option(help="Descriptions of every tag: an open set.")
    ] = None,
    open_set: Annotated[
        bool, typer.Option("--open-set", help="Use the folder's *_llm_tag_descriptions.json.")
    ] = False,
    model_dir: ModelDir = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="An .npz: written by the first run, read by later ones (no inference)."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="One for all tags, not each tag's own.")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="A threshold file, for the tags that it names.")
    ] = None,
    tune_thresholds: Annotated[
        Path | None, typer.Option(help="Write the thresholds with the best F1 to a new file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw precision and recall into this PNG.")
    ] = None,
    per_tag: Annotated[
        bool, typer.Option("--per-tag", help="Show every tag, not the weakest ten.")
    ] = False,
    by: Annotated[
        By | None, typer.Option(help="What ranks the pictures (default: decoder).")
    ] = None,
    as_json: AsJson = False,
    device: Device = "auto",
    precision: PrecisionOption = Precision.AUTO,
) -> None:
    """Measure a model on a benchmark: mAP, precision and recall, and the weakest tags.

    Without BENCHMARK: --tag-list, --annotations and --images, or the --scores of an earlier run.
    """
    if threshold is not None and thresholds is not None:
        raise typer.BadParameter("give --threshold or --thresholds, not both")
    if tune_thresholds is not None and by is By.CLIP:
        raise typer.BadParameter("CLIP has no thresholds: tune them --by decoder")
    _check_outputs(scores, tune_thresholds, plot)

    from ram_tagger.evaluation.report import Report
    from ram_tagger.evaluation.thresholds import tune_thresholds as tuned_on
    from ram_tagger.evaluation.thresholds import write_thresholds
    from ram_tagger.sources import BUNDLED

    asked = _benchmark(benchmark, tag_list, annotations, images, descriptions, open_set)
    _check_thresholds(thresholds, asked)
    if scores is not None and scores.exists():
        found = _read(scores, asked, model_dir, by)
    else:
        found = _infer(asked, model_dir or BUNDLED, by or By.DECODER, device, precision, scores)
    found = _at(found, threshold, thresholds)
    report = Report.of(found)
    tuned = None
    if tune_thresholds is not None:
        limits = tuned_on(found)
        write_thresholds(tune_thresholds, found.tags, limits)
        tuned = Report.of(found, limits)
    _remark(report.unreadable, report.pictures)
    if plot is not None:
        from ram_tagger.evaluation.plot import write_plot

        write_plot(plot, found, report)
    if as_json:
        print_json(report.to_json() | {"tuned": tuned.to_json() if tuned else None})
    else:
        figures.print_report(report, tuned, per_tag)


def set_thresholds(
    folder: Annotated[
        Path, typer.Argument(metavar="MODEL-FOLDER", help="The model folder to change.")
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A threshold file, as evaluate tunes one.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the thresholds of a file into a model folder.

    Tags that the file does not name keep theirs. No photo is analysed again.
    """
    from ram_tagger.evaluation.thresholds import set_thresholds as put_thresholds

    changed = put_thresholds(folder, file)
    if as_json:
        rows = [{"tag": tag, "before": old, "after": new} for tag, (old, new) in changed.items()]
        print_json({"folder": shown(folder), "changed": rows})
    else:
        typer.echo(f"{shown(folder)}: {count(len(changed), 'threshold')} changed")


def _check_outputs(scores: Path | None, tuned: Path | None, plot: Path | None) -> None:
    """Find out before the network runs, not after, what could not be written then."""
    from ram_tagger.evaluation.plot import check_plotting
    from ram_tagger.writing import check_writable

    if plot is not None and plot.suffix.lower() != ".png":
        raise typer.BadParameter(f"{plot} is no PNG: name a file that ends in .png")
    if tuned is not None and tuned.exists():
        raise typer.BadParameter(f"{tuned} is there already: name a new file")
    if plot is not None:
        check_plotting()
    for path in (scores, tuned, plot):
        if path is not None and not path.is_file():
            check_writable(path)


def _benchmark(
    folder: Path | None,
    tag_list: Path | None,
    annotations: Path | None,
    images: Path | None,
    descriptions: Path | None,
    open_set: bool,
) -> Benchmark | None:
    """The benchmark that is asked for; None where only scores are."""
    from ram_tagger.evaluation.benchmark import BenchmarkFiles, find_benchmark

    if folder is not None:
        files = find_benchmark(folder, tag_list, annotations, images, descriptions)
    elif tag_list is not None and annotations is not None and images is not None:
        files = BenchmarkFiles(tag_list, annotations, images, descriptions)
    elif open_set or any((tag_list, annotations, images, descriptions)):
        raise typer.BadParameter(
            "give the folder of a benchmark, or --tag-list, --annotations and --images"
        )
    else:
        return None
    return files.read(open_set or descriptions is not None)


def _check_thresholds(path: Path | None, benchmark: Benchmark | None) -> None:
    """Find a mistake in a threshold file before the network runs."""
    if path is not None and benchmark is not None:
        from ram_tagger.evaluation.thresholds import read_thresholds

        read_thresholds(path, benchmark.tags, [0.0] * len(benchmark.tags))


def _read(path: Path, benchmark: Benchmark | None, model_dir: Path | None, by: By | None) -> Scores:
    from ram_tagger.evaluation.scores import Scores, check_model, check_scores

    found = Scores.load(path)
    if benchmark is not None:
        check_scores(path, found, benchmark)
    if model_dir is not None:
        check_model(path, found, model_dir)
    if by is not None and by != found.by:
        raise RamTaggerError(f"{path} holds scores by {found.by}: name another file for --scores")
    return found


def _infer(
    benchmark: Benchmark | None,
    model_dir: Path,
    by: By,
    device: str,
    precision: Precision,
    keep: Path | None,
) -> Scores:
    if benchmark is None:
        missing = f"no scores at {keep}: " if keep is not None else ""
        raise typer.BadParameter(f"{missing}give the folder of a benchmark")

    from ram_tagger.evaluation.scores import score_benchmark
    from ram_tagger.predict import RamTagger

    tagger = RamTagger.load(model_dir, device, precision)
    with meter() as progress:
        found = score_benchmark(tagger, benchmark, progress, by.value)
    if keep is not None:
        found.save(keep)
    return found


def _at(scores: Scores, threshold: float | None, file: Path | None) -> Scores:
    """The scores with the thresholds that are asked for in place of their own."""
    import numpy as np

    from ram_tagger.evaluation.thresholds import read_thresholds

    if threshold is not None:
        return replace(scores, thresholds=np.full_like(scores.thresholds, threshold))
    if file is not None:
        limits = read_thresholds(file, scores.tags, scores.thresholds)
        return replace(scores, thresholds=limits)
    return scores


def _remark(unreadable: tuple[str, ...], read: int) -> None:
    if unreadable:
        names = ", ".join(shown(name) for name in unreadable[:NAMED])
        more = " …" if len(unreadable) > NAMED else ""
        typer.echo(
            f"ram-tagger: {len(unreadable):,} of {read + len(unreadable):,} pictures cannot be "
            f"read and are left out: {names}{more}",
            err=True,
        )
