"""What the database derives for the sake of speed, held against what it is derived from."""

from __future__ import annotations

from collections.abc import Iterator

from photoindex.catalog.checks import derived
from photoindex.health.reading import Opened
from photoindex.health.records import Finding, Mend, ok, problem
from photoindex.terminal.wording import count

ANALYSED, POSTINGS, TAGS = "analysed photos", "tags by tag", "tags by photo"
CONCEPT_ROWS, TIMES = "concepts' figures", "photos' times"
_AGAIN = "it can be made again: --repair does"


def check_derived(opened: Opened) -> Iterator[Finding]:
    """Every derived table."""
    progress = opened.look.progress
    with opened.database.view() as connection:
        wrong = derived.wrong_analysed(connection, progress)
        yield _finding(ANALYSED, wrong, "of which photos are analysed", Mend.ANALYSED)
    with opened.database.view() as connection:
        models = derived.models(connection)
        unreadable = sum(
            len(derived.unreadable_tags(connection, model, progress)) for model in models
        )
        if unreadable:
            yield problem(
                TAGS,
                f"{count(unreadable, 'photo')} with unreadable tags",
                "they can be filled in from the tags tag by tag: --repair does",
                Mend.TAGS,
            )
        else:
            yield ok(TAGS, "as they should be")
        wrong = sum(derived.wrong_postings(connection, model, progress) for model in models)
        yield _finding(POSTINGS, wrong, "of tags", Mend.POSTINGS)
    with opened.database.view() as connection:
        rows = derived.wrong_concept_rows(connection)
        if rows:
            yield problem(
                CONCEPT_ROWS,
                f"{count(len(rows), 'row')} that cannot be right",
                "--repair has their photos scored again by the next index run",
                Mend.CONCEPT_ROWS,
            )
        else:
            yield ok(CONCEPT_ROWS, "as they should be")
    with opened.database.view() as connection:
        wrong = derived.wrong_times(connection, progress)
        yield _finding(TIMES, wrong, "of times and files", Mend.TIMES)


def _finding(check: str, wrong: int, what: str, mend: Mend) -> Finding:
    if not wrong:
        return ok(check, "as they should be")
    return problem(check, f"{count(wrong, 'row')} {what} differ from their source", _AGAIN, mend)
