"""Captions as training reads them."""

from __future__ import annotations

import re

WORDS = 30
"""Of a caption that are kept, as in the published training."""
_DROPPED = re.compile(r"[.!\"()*#:;~]")


def clean_caption(caption: str) -> str:
    """A caption as the published training reads it: lower case, few marks, at most 30 words."""
    words = _DROPPED.sub(" ", caption.lower()).split()
    return " ".join(words[:WORDS])
