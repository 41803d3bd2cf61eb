"""The words that the shell hands over, put in order before anything reads them."""

from __future__ import annotations

import re

GLOBAL_OPTIONS = ("--library", "--models-folder")
_FIELDS = ("tag:", "-tag:", "after:", "before:", "in:")
_UNWANTED = re.compile(r"-([a-zA-Z][^\W\d_]|[^\W\d_a-zA-Z]|\")")
"""A dash and a word, of which no short option has more than its first letter."""


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


def command_of(args: list[str]) -> str | None:
    """The word that names a command, None where none stands in its place."""
    words = iter(hoisted(args))
    for word in words:
        if word in GLOBAL_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word
        elif not word.startswith(tuple(f"{option}=" for option in GLOBAL_OPTIONS)):
            return None
    return None


def filters_last(args: list[str]) -> list[str]:
    """The arguments of `search` with words such as `-tag:dog` behind `--`: they are no options."""
    end = args.index("--") if "--" in args else len(args)
    filters = [word for word in args[:end] if _UNWANTED.match(word)]
    others = [word for word in args[:end] if word not in filters]
    return [*others, "--", *args[end + 1 :], *filters]


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
