"""From what a language model answers to one line that describes."""

from __future__ import annotations

import re

LONGEST = 400
"""Characters of a description; CLIP reads less than that."""
_READ = 8000  # characters of an answer: what comes later is never the first paragraph

_THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHTS_ENDED = re.compile(r"\A.*</think>", re.DOTALL | re.IGNORECASE)  # begun by the template
_FENCE = re.compile(r"^\s*(```|~~~).*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_MARKUP = re.compile(r"[*`]+|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)")
_MARK = re.compile(r"^(?:[-+•‣◦·–—*]\s+|[•‣◦·]|\(?\d{1,3}[.):](?!\d)\s*|\(?[a-zA-Z]\)\s*|[#>]+\s*)")
_ASSENT = re.compile(
    r"^(?:sure(?: thing)?|certainly|of course|okay|ok|absolutely|got it)(?:[!.,]+\s*|$)",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^(?:here(?:'s|’s| is| are)\b[^:]{0,120}"
    r"|(?:description|answer|caption|sentence|output)(?: \d{1,3})?):\s+(?=\S)",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»", "‘": "’", "`": "`"}
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]")


def clean(answer: str) -> str:
    """The description in an answer: one printable line of at most LONGEST characters, or "".

    Takes away a reasoning model's thoughts, a heading or an introduction that ends in a colon,
    list marks, Markdown, quotation marks around the whole, and whatever follows the first paragraph
    or the first entry of a list. What is too long ends with its last whole sentence.
    """
    text = _THOUGHTS_ENDED.sub("", _THOUGHTS.sub("", answer)).strip()[:_READ]
    text = _LINK.sub(r"\1", _FENCE.sub("", text))
    line = _bare(_first_paragraph([_printable(line) for line in re.split(r"\r\n?|\n", text)]))
    if len(line) > LONGEST:
        ends = [match.end() for match in _SENTENCE_END.finditer(line) if match.end() <= LONGEST]
        word_end = line.rfind(" ", 0, LONGEST + 1)
        line = line[: ends[-1] if ends else word_end if word_end > 0 else LONGEST]
    return line if any(character.isalnum() for character in line) else ""


def _printable(line: str) -> str:
    """Without control characters and half characters, with single spaces."""
    spaced = "".join(" " if c.isspace() else c for c in line if c.isspace() or c.isprintable())
    return " ".join(spaced.split())


def _first_paragraph(lines: list[str]) -> str:
    """The first paragraph or list entry on one line, without an introduction before it."""
    paragraph: list[str] = []
    introduced = False
    for line in lines:
        if not _bare(line) or (paragraph and _MARK.match(line)):
            if paragraph:
                break
        elif not introduced and not paragraph and _introduces(line):
            introduced = True
        else:
            paragraph.append(line)
    return " ".join(paragraph)


def _introduces(line: str) -> bool:
    return line.startswith("#") or _MARKUP.sub("", line).endswith((":", "："))


def _bare(line: str) -> str:
    """A line without marks, labels, markup and quotation marks around it."""
    while True:
        stripped = _MARK.sub("", _unquoted(line.strip()))
        stripped = _LABEL.sub("", _ASSENT.sub("", stripped))
        stripped = " ".join(_MARKUP.sub("", stripped).split())
        if stripped == line:
            return line
        line = stripped


def _unquoted(line: str) -> str:
    """Without a pair of quotation marks around the whole; a full stop behind them stays."""
    end = _QUOTES.get(line[:1])
    if end is None or len(line) < 2:
        return line
    body, stop = (line[:-1], line[-1]) if line[-1] in ".!?" else (line, "")
    inside = body[1:-1]
    return inside + stop if len(body) > 1 and body[-1] == end and end not in inside else line
