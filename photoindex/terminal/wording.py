"""How names, counts, sizes and times are put into words."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SURROGATES = range(0xDC80, 0xDD00)  # bytes that are no UTF-8, as os.fsdecode keeps them
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def shown(text: str | Path) -> str:
    """A text or file name that is safe to print: one line, nothing that steers a terminal.

    Control characters, direction marks and bytes that are no UTF-8 appear as escapes.
    """
    name = str(text)
    return name if name.isprintable() else "".join(_visible(character) for character in name)


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if code in _SURROGATES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_utf8(path: Path) -> bool:
    """Whether a path's bytes are UTF-8, so that JSON can hold it as it is."""
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def count(number: int, noun: str) -> str:
    """ "1 photo", "1,204 photos"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Bytes in words: "74 kB", "3.0 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("bytes", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float) -> str:
    """ "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def words(name: str) -> str:
    """A name given as several words of the shell or as one, with single spaces."""
    return re.sub(r"\s+", " ", name).strip()
