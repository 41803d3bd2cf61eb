"""What is still to be done in a library, and what nothing leads to any more."""

from __future__ import annotations

from collections.abc import Iterator

from photoindex.catalog.checks import unfinished
from photoindex.health.reading import Opened
from photoindex.health.records import Finding, note, ok
from photoindex.terminal.wording import count

PHOTOS, CONCEPTS = "photos", "concepts"
_INDEX = '"photoindex index" does it'


def check_photos(opened: Opened) -> Iterator[Finding]:
    """Photos that no file holds and nobody tagged, or that are not analysed."""
    opened.look.progress("counting photos", 0, None)
    model_id = opened.catalog.indexed_with()
    with opened.database.read() as connection:
        awaiting = unfinished.photos_awaiting(connection, model_id)
        without = unfinished.photos_without_file(connection)
        photos = unfinished.photo_count(connection)
    if awaiting:
        yield note(PHOTOS, f"{count(awaiting, 'photo')} not analysed yet", _INDEX)
    if without:
        yield note(
            PHOTOS,
            f"{count(without, 'photo')} that no file holds",
            '"photoindex index" purges them after their grace time',
        )
    if not awaiting and not without:
        told = count(photos, "photo")
        yield ok(PHOTOS, f"{told}, each with a file or tags of people, all analysed")


def check_concepts(opened: Opened) -> Iterator[Finding]:
    """Concepts that the active model has not scored on every photo."""
    with opened.database.read() as connection:
        unscored = unfinished.concepts_unscored(connection)
        new = unfinished.concepts_not_embedded(connection)
        concepts = unfinished.concept_count(connection)
    if unscored:
        yield note(CONCEPTS, f"{count(unscored, 'concept')} not scored on every photo", _INDEX)
    if new:
        yield note(CONCEPTS, f"{count(new, 'concept')} not scored by the model in use", _INDEX)
    if not unscored and not new:
        yield ok(CONCEPTS, f"{count(concepts, 'concept')}, all scored")
