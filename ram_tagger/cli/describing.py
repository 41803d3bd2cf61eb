"""`describe`: a concept file written by a language model."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoindex.errors import UsageError
from photoindex.terminal.json_output import print_json
from photoindex.terminal.progress import meter
from photoindex.terminal.signals import stop_on_signals
from photoindex.terminal.wording import count, shown

if TYPE_CHECKING:
    from ram_tagger.describing.descriptions import Described, Plan
    from ram_tagger.describing.endpoint import Endpoint

_EXAMPLE = "a local server's: --endpoint http://127.0.0.1:11434/v1 --llm llama3.1"


def describe(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Tags to describe.")
    ] = None,
    names_file: Annotated[
        Path | None, typer.Option("--names", help="More tags, one a line; - is standard input.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar=["RAM_TAGGER_ENDPOINT", "OPENAI_BASE_URL"],
            help="Base URL of an OpenAI-compatible server; its key is read from RAM_TAGGER_KEY or"
            " OPENAI_API_KEY.",
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(metavar="NAME", envvar="RAM_TAGGER_LLM", help="The model's name there."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each prompt.")] = 3,
    temperature: Annotated[
        float,
        typer.Option(
            min=0, max=2, help="1 is what every model takes; with less, samples repeat each other."
        ),
    ] = 1.0,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = 4,
    out: Annotated[
        Path, typer.Option(help="The file to write; OUT.part beside it holds what is got so far.")
    ] = Path("concepts.json"),
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that the server may stay silent.")
    ] = 120.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask nothing; print the first tag's prompts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Write concepts.json: how tags look, in a language model's words.

    Run again after an interruption, it asks only for what is missing. An existing file is never
    overwritten.
    """
    from ram_tagger.describing.descriptions import Plan, concept_names, refuse_to_overwrite
    from ram_tagger.describing.endpoint import Endpoint
    from ram_tagger.describing.prompts import MOST_SAMPLES

    if samples > MOST_SAMPLES:
        raise typer.BadParameter(
            f"--samples {samples}: give {MOST_SAMPLES} at most, or a tag gets too many descriptions"
        )
    found, again = concept_names([*(names or []), *_lines(names_file)])
    if not found:
        raise UsageError("no tag to describe: name some, or give a file of them with --names FILE")
    if again:
        others = f" and {len(again) - 1:,} more" if len(again) > 1 else ""
        typer.echo(f"{shown(again[0])}{others}: named twice, described once", err=True)
    plan = Plan(found, samples)
    if dry_run:
        _print_plan(plan, as_json)
        return
    refuse_to_overwrite(out)
    if not endpoint or not llm:
        missing = "endpoint" if not endpoint else "model"
        raise UsageError(
            f"no {missing} to ask: set --endpoint URL (or RAM_TAGGER_ENDPOINT) and --llm NAME (or"
            f" RAM_TAGGER_LLM), such as {_EXAMPLE}; a hosted one reads its key from RAM_TAGGER_KEY"
        )
    asked = Endpoint.at(endpoint, llm, _key(), temperature, timeout)
    if asked.reveals_key:
        typer.echo(
            f"ram-tagger: the key crosses the network unencrypted to {shown(asked.base)}:"
            " use https if the server has it",
            err=True,
        )
    _report(_described(plan, asked, out, parallel), as_json)


def _described(plan: Plan, endpoint: Endpoint, out: Path, parallel: int) -> Described:
    from ram_tagger.describing.descriptions import Interrupted, describe

    try:
        with meter() as progress, stop_on_signals() as stop:
            return describe(plan, endpoint, out, progress, parallel=parallel, ended=stop.event)
    except Interrupted as interrupted:
        typer.echo(f"ram-tagger: {interrupted}", err=True)
        raise typer.Exit(stop.exit_code) from interrupted
    except KeyboardInterrupt as insisted:
        typer.echo("ram-tagger: stopped; the same command again continues", err=True)
        raise typer.Exit(130) from insisted


def _lines(file: Path | None) -> list[str]:
    """The lines of a file, or of standard input, that are not empty."""
    if file is None:
        return []
    where = "standard input" if str(file) == "-" else str(file)
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not UTF-8 text: save it as UTF-8") from error
    return [line for line in text.split("\n") if line.strip()]


def _key() -> str | None:
    """From the environment alone, so that it stands in no list of commands or processes.

    RAM_TAGGER_KEY that is set and empty keeps OPENAI_API_KEY from being sent.
    """
    return os.environ.get("RAM_TAGGER_KEY", os.environ.get("OPENAI_API_KEY"))


def _print_plan(plan: Plan, as_json: bool) -> None:
    from ram_tagger.describing import prompts

    name = plan.names[0]
    texts = [prompts.prompt(number, name) for number in range(len(prompts.PROMPTS))]
    requests = len(plan.requests())
    if as_json:
        print_json({"name": name, "prompts": texts, "samples": plan.samples, "requests": requests})
        return
    for text in texts:
        typer.echo(text)
    typer.echo(
        f"{count(len(plan.names), 'tag')}, {count(len(texts), 'prompt')}, "
        f"{count(plan.samples, 'sample')}: {count(requests, 'request')}",
        err=True,
    )


def _report(described: Described, as_json: bool) -> None:
    from ram_tagger.describing.prompts import plain

    file = shown(described.file)
    typer.echo(
        f"{file}: {count(described.concepts, 'concept')},"
        f" {count(described.descriptions, 'description')}",
        err=True,
    )
    if described.skipped:
        answers = count(described.skipped, "answer")
        typer.echo(f"{answers} left out: empty, or said again what another said", err=True)
    if described.bare:
        others = f" and {len(described.bare) - 1:,} more" if len(described.bare) > 1 else ""
        first = f'"{plain(described.bare[0])}"'
        typer.echo(
            f"no answer of use for {shown(described.bare[0])}{others}: only {first}", err=True
        )
    if described.too_large:
        typer.echo(f"{file} is larger than concept files may be: split it", err=True)
    if as_json:
        print_json(
            {
                "file": file,
                "concepts": described.concepts,
                "descriptions": described.descriptions,
                "requests": described.requests,
                "skipped": described.skipped,
            }
        )
