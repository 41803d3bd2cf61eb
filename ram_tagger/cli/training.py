"""`train`, `finetune` and `recipes`: teaching a model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.terminal.json_output import print_json, print_json_line
from photoindex.terminal.progress import Meter, meter
from photoindex.terminal.signals import Stop, stop_on_signals
from photoindex.terminal.wording import count, shown
from ram_tagger.cli.options import Device

if TYPE_CHECKING:
    from ram_tagger.training.metrics_log import Row
    from ram_tagger.training.own_photos import Prepared
    from ram_tagger.training.recipe import Recipe
    from ram_tagger.training.run import Outcome
    from ram_tagger.training.train import Opener

_LOSSES = {
    "tagging": "tagging",
    "distillation": "distil",
    "alignment": "align",
    "keeping": "keeping",
}
"""Losses and their headings."""

Out = Annotated[Path, typer.Option(help="The folder of the run; the model goes to OUT/model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print metrics as JSON, one row a line.")]


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A TOML file, or a shipped recipe's name.")
    ],
    out: Out,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change an entry: schedule.steps=100. As often as needed.",
        ),
    ] = None,
    cache_clip: Annotated[
        bool,
        typer.Option(
            "--cache-clip", help="First compute what CLIP says of all data, once (OUT-clip-cache)."
        ),
    ] = False,
    cache_only: Annotated[
        bool, typer.Option("--cache-only", help="Compute that cache and end: train later.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model by a recipe.

    The same command again goes on where it was ended or killed. Several processes, on one machine
    or many: torchrun --nproc-per-node 8 -m ram_tagger train RECIPE --out OUT.
    """
    from ram_tagger.training.recipe import read_recipe, with_clip_cache

    read = read_recipe(recipe, changes or ())
    if cache_clip or cache_only:
        read = with_clip_cache(read, out.with_name(f"{out.name}-clip-cache"))
    with stop_on_signals() as stop, meter() as progress:
        if cache_only:
            _fill_cache(read, device, stop, progress)
            return
        outcome = _train(read, out, device, stop, progress, as_json, fill=cache_clip)
    _finish(outcome, out, stop)


def finetune(
    table: Annotated[
        Path, typer.Argument(help="A CSV file: path,tags[,caption]; a bar between tags.")
    ],
    out: Out,
    model_dir: Annotated[Path, typer.Option(help="The model folder to go on from.")],
    images: Annotated[
        Path | None, typer.Option(help="The photos' folder (default: the table's own).")
    ] = None,
    concepts: Annotated[
        Path | None, typer.Option(help="Descriptions of your tags, as add-concept takes them.")
    ] = None,
    only_own: Annotated[
        bool, typer.Option("--only-own-tags", help="Forget the model's vocabulary.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Train the image encoder too; wants a GPU.")
    ] = False,
    epochs: Annotated[float, typer.Option(min=0.1, help="How often each photo is seen.")] = 20.0,
    pictures: Annotated[int, typer.Option(min=1, help="Photos a step.")] = 16,
    rate: Annotated[float, typer.Option(min=1e-9, help="The learning rate.")] = 1e-4,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Part of the photos kept for measuring.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Another seed is another chance.")] = 0,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only", help="Write the recipe and its data, train later.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Teach a model your own tags from photos of yours.

    The model keeps what it knows. The same command again goes on where it was ended.
    """
    from photoindex.concept_file import read_concepts
    from ram_tagger.training.own_photos import FineTuning, prepared
    from ram_tagger.training.photo_table import read_photo_table

    photos = read_photo_table(table)
    described = read_concepts(concepts) if concepts is not None else []
    wanted = FineTuning(
        model_dir.absolute(), (images or table.parent).absolute(), held_out, only_own, epochs,
        pictures, rate, whole, seed,
    )  # fmt: skip
    with stop_on_signals() as stop, meter() as progress:
        data = out.with_name(f"{out.name}-data").absolute()
        made = prepared(photos, described, wanted, device, data)
        _say_prepared(made)
        if prepare_only:
            typer.echo(f"go on with: ram-tagger train {data}/recipe.json --out {out}", err=True)
            return
        outcome = _train(made.recipe, out, device, stop, progress, as_json)
    _finish(outcome, out, stop)


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this one as TOML, to be edited.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes that come with the package, or print one."""
    from ram_tagger.errors import RecipeError
    from ram_tagger.training.recipe import read_recipe, shipped_recipes

    found = shipped_recipes()
    if name is not None and name not in found:
        raise RecipeError(f"no recipe {name}: there are {', '.join(found)}")
    if name is None and as_json:
        print_json({"recipes": list(found)})
    elif name is None:
        for each, text in found.items():
            typer.echo(f"{each:<32}  {text.splitlines()[0].removeprefix('# ')}")
    elif as_json:
        print_json(read_recipe(name).to_json())
    else:
        typer.echo(found[name], nl=False)


def _train(
    recipe: Recipe,
    out: Path,
    device: str,
    stop: Stop,
    progress: Meter,
    as_json: bool,
    fill: bool = False,
) -> Outcome:
    from ram_tagger.errors import Ended
    from ram_tagger.training.train import Audience
    from ram_tagger.training.train import train as train_by

    table = _Rows()

    def listen(row: Row) -> None:
        progress.pause()
        if as_json:
            print_json_line(row)
        else:
            typer.echo("\n".join(table.lines(row)))

    def say(remark: str) -> None:
        progress.pause()
        typer.echo(remark, err=True)

    audience = Audience(listen, say, progress)
    try:
        return train_by(recipe, out, _opener(recipe, fill), device, stop.event, audience)
    except Ended as ended:
        typer.echo(str(ended), err=True)
        raise typer.Exit(stop.exit_code) from ended


def _fill_cache(recipe: Recipe, device: str, stop: Stop, progress: Meter) -> None:
    from ram_tagger.errors import Ended
    from ram_tagger.training.materials import read_materials
    from ram_tagger.training.processes import joined_processes

    with joined_processes(device) as processes:
        try:
            read_materials(recipe, processes, progress, stop.event, fill=True)
        except Ended as ended:
            typer.echo(str(ended), err=True)
            raise typer.Exit(stop.exit_code) from ended
    typer.echo(f"{shown(str(recipe.data.clip_cache))} is filled", err=True)


def _opener(recipe: Recipe, fill: bool) -> Opener:
    """How the data of a recipe is opened; only drawn scenes need what draws them."""
    if recipe.data.scenes:
        from ram_tagger.sketch.materials import drawn_materials

        return lambda recipe, processes, progress, stop: drawn_materials(recipe)
    from ram_tagger.training.materials import read_materials

    return partial(read_materials, fill=fill)


class _Rows:
    """Rows of metrics as an aligned table, with a heading above the first."""

    def __init__(self) -> None:
        self._heading: list[str] = []

    def lines(self, row: Row) -> Iterator[str]:
        if "evaluation" in row:
            yield f"{row['step']:>7,}  mAP {row['mAP']:.4f} on {row['evaluation']}"
            return
        cells = {"step": f"{row['step']:,}", "loss": _figure(row["loss"])}
        cells |= {short: _figure(row[name]) for name, short in _LOSSES.items() if name in row}
        cells |= {"gradient": _figure(row["gradient"]), "rate": f"{row['rate']:.1e}"}
        cells |= {"pics/s": _figure(row["pictures_per_second"])}
        cells |= {"skipped": f"{row['skipped']:,}"} if row["skipped"] else {}
        if list(cells) != self._heading:
            self._heading = list(cells)
            yield " ".join(name.rjust(_width(name)) for name in cells)
        yield " ".join(cell.rjust(_width(name)) for name, cell in cells.items())


def _width(name: str) -> int:
    """So that all columns together fit into 80."""
    return max(7, len(name))


def _figure(value: float) -> str:
    """Four digits, however large."""
    return f"{value:.4g}" if value >= 1000 else f"{value:#.4g}".rstrip(".")


def _say_prepared(made: Prepared) -> None:
    new = f", {len(made.new):,} of them new" if made.new else ""
    if made.unjudged:
        typer.echo(
            f"too few photos to hold some out, so no figures: {shown(', '.join(made.unjudged))}",
            err=True,
        )
    typer.echo(
        f"{count(made.training, 'photo')} to train on, {made.held_out:,} held out; "
        f"{count(len(made.tags), 'tag')}{new}",
        err=True,
    )


def _finish(outcome: Outcome, out: Path, stop: Stop) -> None:
    if not outcome.leads:
        raise typer.Exit(0 if outcome.finished else stop.exit_code)
    if outcome.skipped:
        typer.echo(
            f"{count(outcome.skipped, 'picture')} could not be read: {shown(out)}/skipped.tsv",
            err=True,
        )
    if not outcome.finished:
        typer.echo(
            f"ended after step {outcome.step:,} of {outcome.steps:,}; "
            "the same command again goes on",
            err=True,
        )
        raise typer.Exit(stop.exit_code)
    assert outcome.model is not None
    typer.echo(f"{shown(out)}/model: model {outcome.model.model_id}", err=True)
