"""What a concept is described by: its own descriptions, or prompt templates in their place."""

from __future__ import annotations

from photoindex.tagger import Concept

TEMPLATES = (
    "a photo of {}",
    "a picture that shows {}",
    "{} can be seen here",
    "there is {} in the scene",
    "a close view of {}",
    "{}",
)
"""What stands in for the descriptions of a concept that has none."""


def describe(concept: Concept) -> tuple[str, ...]:
    """The concept's descriptions, or the prompt templates filled with its name."""
    return concept.descriptions or tuple(t.format(concept.name) for t in TEMPLATES)
