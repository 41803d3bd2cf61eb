"""JSON on standard output: nothing in it steers a terminal that it happens to reach."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from photoindex.terminal.lines import print_text

# What JSON allows in a text and a terminal should not be sent.
_STEERING = re.compile("[\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def print_json(document: Mapping[str, Any]) -> None:
    """One document on standard output."""
    print_text(_steerless(json.dumps(document, ensure_ascii=False, indent=2)))


def print_json_line(document: Mapping[str, Any]) -> None:
    """One of many documents on standard output, a line each."""
    print_text(json_line(document))


def json_line(document: Mapping[str, Any]) -> str:
    """The same line, to be written elsewhere."""
    return _steerless(json.dumps(document, ensure_ascii=False))


def _steerless(text: str) -> str:
    return _STEERING.sub(lambda match: json.dumps(match[0])[1:-1], text)
