"""Where the command line's grammar differs from Typer's own."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from photoindex.cli.words import filters_last, hoisted
from photoindex.terminal.wording import shown

_WANTED = {
    "Input should be a valid number, .*": "give a number, such as 0.5",
    "Input should be a valid integer, .*": "give a whole number, such as 20",
    "Value error, ": "",
}
_NEGATIVE = re.compile(r"-\.?\d")


def usage_line(error: TyperException, program: str) -> str:
    """A usage error as one line that ends with how to learn more.

    A group without a command shows its help, which is as long as it is.
    """
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.format_message()
    text = error.format_message()
    for wanted, wording in _WANTED.items():
        text = re.sub(wanted, wording, text)
    command = context.command_path if context else program
    return shown(f"{program}: {text.rstrip('.')} ({command} -h)")


class AnywhereGroup(TyperGroup):
    """A group whose global options may also stand behind the command: `search cat --library X`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the global options to the front."""
        return super().parse_args(ctx, hoisted(args))


class QueryCommand(TyperCommand):
    """A command whose words may begin with a dash: `-tag:dog` and `-dog` are no options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take such words behind `--`, where nothing is an option."""
        return super().parse_args(ctx, filters_last(args))


class NumberCommand(TyperCommand):
    """A command that takes a negative number for a value, to say what is wrong with it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take such a number behind `--`."""
        if "--" in args:
            return super().parse_args(ctx, args)
        numbers = [word for word in args if _NEGATIVE.match(word)]
        return super().parse_args(ctx, [*(w for w in args if w not in numbers), "--", *numbers])
