"""CLIP's tokens without open_clip: the same numbers, from a tokenizer that opens at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from ram_tagger.config import ClipConfig
from ram_tagger.quick.merges import END, START, Merges

PADDING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
"""Rows of a small text tower: padding, every token that it does not know, the ones it does."""

_PLAIN = re.compile(r"[\t\n -%'-~]*")  # printable ASCII without the ampersand
_SPECIAL = {"<start_of_text>": START, "<end_of_text>": END}
_PLAIN_WORDS = re.compile(
    r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+"
)


class QuickTokenizer:
    """Texts to the rows of the token embedding, cut off where a text tower stops reading."""

    def __init__(self, config: ClipConfig) -> None:
        self._length = config.context_length
        self._merges = Merges()
        self._known: dict[str, Sequence[int]] = {}
        self._rows = {token: row for row, token in enumerate(config.token_ids, FIRST_KNOWN)}
        if self._rows:
            self._rows[PADDING] = PADDING

    def __call__(self, text: str) -> list[int]:
        """The rows of one text, up to the one whose feature is the text's embedding.

        A text tower takes the feature at the largest row (its first, should it come twice), and no
        token sees those after it: what follows can be left away.
        """
        tokens = [START]
        for token in self._tokens(text):
            if len(tokens) == self._length - 1:
                break
            tokens.append(token)
        tokens.append(END)
        if self._rows:
            tokens = [self._rows.get(token, UNKNOWN) for token in tokens]
        return tokens[: tokens.index(max(tokens)) + 1]

    def _tokens(self, text: str) -> Iterator[int]:
        for word in self._words(text):
            if word in _SPECIAL:
                yield _SPECIAL[word]
                continue
            if word not in self._known:
                self._known[word] = self._merges.split(word.encode("utf-8"))
            yield from self._known[word]

    def _words(self, text: str) -> Iterator[str]:
        """A text cleaned and cut as the original does it.

        What ftfy and HTML's entities can change, and what Unicode calls letters and digits, plays
        no part in plain ASCII, so that the libraries for them are imported for other texts only.
        """
        if _PLAIN.fullmatch(text):
            cleaned = " ".join(text.split()).lower()
            return (match.group() for match in _PLAIN_WORDS.finditer(cleaned))
        import html

        import ftfy

        cleaned = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        cleaned = " ".join(cleaned.split()).lower()
        return (match.group() for match in self._unicode_words.finditer(cleaned))

    @cached_property
    def _unicode_words(self) -> re.Pattern[str]:
        import regex

        pattern: re.Pattern[str] = regex.compile(
            r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
            regex.IGNORECASE,
        )
        return pattern
