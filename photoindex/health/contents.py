"""What is still to be done in a library, and what nothing leads to any more."""

from __future__ import annotations

from collections.abc import Iterator

from photoindex.health.reading import Opened
from photoindex.health.records import Finding, note, ok
from photoindex.terminal.wording import count

PHOTOS, CONCEPTS = "photos", "concepts"
_INDEX = '"photoindex index" does it'
_PHOTOS = "SELECT count(*) FROM photos"
_WITHOUT_FILE = """
    SELECT count(*) FROM photos
    WHERE NOT EXISTS (SELECT 1 FROM files WHERE photo_id = photos.id)
    AND NOT EXISTS (SELECT 1 FROM photo_tags WHERE photo_id = photos.id)"""
_AWAITING = """
    SELECT count(*) FROM photos
    WHERE EXISTS (SELECT 1 FROM files WHERE photo_id = photos.id AND state = 'present')
    AND NOT EXISTS (
        SELECT 1 FROM analyses JOIN models ON models.id = analyses.model_id
        WHERE analyses.photo_id = photos.id AND active)"""
_UNSCORED = """
    SELECT count(DISTINCT concept_id) FROM unscored JOIN models ON models.id = unscored.model_id
    WHERE active"""
_NOT_EMBEDDED = """
    SELECT count(*) FROM concepts WHERE NOT EXISTS (
        SELECT 1 FROM concept_embeddings JOIN models ON models.id = concept_embeddings.model_id
        WHERE concept_id = concepts.id AND active)"""
_CONCEPTS = "SELECT count(*) FROM concepts"


def photo_count(opened: Opened) -> int:
    """How many photos there are."""
    return _number(opened, _PHOTOS)


def check_photos(opened: Opened) -> Iterator[Finding]:
    """Photos that no file holds and nobody tagged, or that are not analysed."""
    opened.look.progress("counting photos", 0, None)
    awaiting, without = _number(opened, _AWAITING), _number(opened, _WITHOUT_FILE)
    if awaiting:
        yield note(PHOTOS, f"{count(awaiting, 'photo')} not analysed yet", _INDEX)
    if without:
        yield note(
            PHOTOS,
            f"{count(without, 'photo')} that no file holds",
            '"photoindex index" purges them after their grace time',
        )
    if not awaiting and not without:
        told = count(photo_count(opened), "photo")
        yield ok(PHOTOS, f"{told}, each with a file or tags of people, all analysed")


def check_concepts(opened: Opened) -> Iterator[Finding]:
    """Concepts that the active model has not scored on every photo."""
    unscored, new = _number(opened, _UNSCORED), _number(opened, _NOT_EMBEDDED)
    if unscored:
        yield note(CONCEPTS, f"{count(unscored, 'concept')} not scored on every photo", _INDEX)
    if new:
        yield note(CONCEPTS, f"{count(new, 'concept')} not scored by the model in use", _INDEX)
    if not unscored and not new:
        yield ok(CONCEPTS, f"{count(_number(opened, _CONCEPTS), 'concept')}, all scored")


def _number(opened: Opened, query: str) -> int:
    with opened.database.read() as connection:
        return int(connection.execute(query).fetchone()[0])
