"""Where the command line's grammar differs from Typer's own."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from photoindex.terminal.wording import shown

GLOBAL_OPTIONS = ("--library", "--models-folder")
_FIELDS = ("tag:", "-tag:", "after:", "before:", "in:")
_UNWANTED = re.compile(r"-([a-zA-Z][^\W\d_]|[^\W\d_a-zA-Z]|\")")
"""A dash and a word, of which no short option has more than its first letter."""


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
        end = args.index("--") if "--" in args else len(args)
        filters = [word for word in args[:end] if _UNWANTED.match(word)]
        others = [word for word in args[:end] if word not in filters]
        return super().parse_args(ctx, [*others, "--", *args[end + 1 :], *filters])


class NumberCommand(TyperCommand):
    """A command that takes a negative number for a value, to say what is wrong with it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take such a number behind `--`."""
        if "--" in args:
            return super().parse_args(ctx, args)
        numbers = [word for word in args if _NEGATIVE.match(word)]
        return super().parse_args(ctx, [*(w for w in args if w not in numbers), "--", *numbers])


def hoisted(args: list[str]) -> list[str]:
    """The arguments with the global options first, in the order they came."""
    end = args.index("--") if "--" in args else len(args)
    front: list[str] = []
    rest: list[str] = []
    words = iter(args[:end])
    for word in words:
        if word in GLOBAL_OPTIONS:
            front.extend([word, *(value for value in [next(words, None)] if value is not None)])
        elif word.startswith(tuple(f"{option}=" for option in GLOBAL_OPTIONS)):
            front.append(word)
        else:
            rest.append(word)
    return [*front, *rest, *args[end:]]


def joined(words: list[str]) -> str:
    """The query that the shell's words make.

    One word is a whole query. Of several, one that is a filter with spaces in its value was quoted
    for the shell, as in `cat in:"My Photos"`: the quotes are put back.
    """
    if len(words) == 1:
        return words[0]
    return " ".join(_requoted(word) for word in words)


def _requoted(word: str) -> str:
    field = next((field for field in _FIELDS if word.lower().startswith(field)), None)
    value = word[len(field) :] if field else ""
    if not any(character.isspace() for character in value) or '"' in value:
        return word
    return f'{word[: -len(value)]}"{value}"'
