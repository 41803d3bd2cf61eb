"""What a language model is asked about a tag, so that CLIP can read the answers.

RAM++ (arXiv 2310.15200) describes each tag by many texts about how it looks. CLIP reads 77 tokens,
about 50 words, so every prompt wants one short sentence about what can be seen.
"""

from __future__ import annotations

import hashlib

from photoindex.concept_file import MOST_DESCRIPTIONS

PLAIN = "a photo of {name}"
"""The first description of every tag; no model is asked for it."""

_PLACE = "{name}"
_FORM = (
    ' Name "{name}" in the sentence. Write plain English, at most 30 words, and only what an eye'
    " can see: no history, no use, no feelings. Answer with the sentence alone, without an"
    " introduction, a list or quotation marks."
)
PROMPTS = (
    'Which shape, colours and visible parts tell you that a photograph shows "{name}"? Say it in'
    " one sentence." + _FORM,
    'A camera comes very close to "{name}". In one sentence, say which surfaces, materials,'
    " patterns and small details fill the picture." + _FORM,
    'Think of an ordinary holiday or family photograph tagged "{name}". In one sentence, say what'
    " is in the middle of it and what can be seen around it." + _FORM,
    'In which surroundings, and beside which other things, is "{name}" mostly photographed? Write'
    " one sentence that shows it there, seen from some steps away." + _FORM,
    'Pick one particular kind, colour, pose or meaning of "{name}", another one each time you are'
    " asked. In one sentence, say what that one looks like in a photograph." + _FORM,
)
"""Asked about every tag, each as many times as there are samples."""
MOST_SAMPLES = (MOST_DESCRIPTIONS - 1) // len(PROMPTS)
"""More would give a concept more descriptions than a concept file may hold."""


def plain(name: str) -> str:
    """The description that needs no model."""
    return PLAIN.replace(_PLACE, name)


def prompt(number: int, name: str) -> str:
    """The text of PROMPTS[number] about one tag."""
    return PROMPTS[number].replace(_PLACE, name)


def digest() -> str:
    """Tells these prompts from those of another release."""
    return hashlib.sha256("\n".join(PROMPTS).encode()).hexdigest()[:16]
