"""The door of `ram-tagger`: its commands, and what their errors mean to the shell."""

from __future__ import annotations

import os
import re
import sys
from io import TextIOWrapper

import typer
from typer.exceptions import TyperException

from photoindex.errors import UsageError
from ram_tagger.cli import describing, evaluating, labels, tagging, training
from ram_tagger.errors import RamTaggerError

app = typer.Typer(
    help="Tag pictures with RAM++ in English and Chinese, in any vocabulary.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(epilog="Example: ram-tagger tag holiday.jpg --model-dir models/ram_plus --json")(
    tagging.tag
)
app.command(epilog="Example: ram-tagger convert ram_plus_swin_large_14m.pth models/ram_plus")(
    tagging.convert
)
app.command(epilog="Example: ram-tagger train sketch --out runs/sketch")(training.train)
app.command(
    epilog="Example: ram-tagger finetune tags.csv --model-dir models/ram_plus --out runs/mine"
)(training.finetune)
app.command(epilog="Example: ram-tagger recipes sketch > mine.toml")(training.recipes)
app.command(epilog="Example: ram-tagger label-bank descriptions.json --clip ViT-B-16.pt")(
    labels.label_bank
)
app.command(epilog="Example: ram-tagger describe 'tabby cat' hammock --llm llama3.1")(
    describing.describe
)
app.command(epilog="Example: ram-tagger evaluate openimages_common_214 --scores scores.npz")(
    evaluating.evaluate
)
app.command(epilog="Example: ram-tagger set-thresholds models/ram_plus tuned.txt")(
    evaluating.set_thresholds
)


def _usage(error: TyperException) -> str:
    """One line; a bare `ram-tagger` shows the help instead."""
    text, context = error.format_message(), getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return text
    where = context.command_path if context else "ram-tagger"
    text = re.sub(r"Input should be a valid number, .*", "give a number, such as 0.5", text)
    return f"ram-tagger: {text.replace(': Value error, ', ': ').rstrip('.')} ({where} -h)"


def main() -> None:
    """Run the command; errors become one line on stderr and exit code 2 or 3."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot write Chinese is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(prog_name="ram-tagger", standalone_mode=False))
    except TyperException as error:
        sys.stderr.write(_usage(error) + "\n")
        sys.exit(error.exit_code)
    except UsageError as error:
        sys.stderr.write(f"ram-tagger: {error}\n")
        sys.exit(2)
    except RamTaggerError as error:
        if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun started, one speaks
            sys.stderr.write(f"ram-tagger: {error}\n")
        sys.exit(3)
