"""What is stored of analysed photos: whether it can be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from photoindex.catalog.checks.analyses import can_be_made_again, damaged
from photoindex.health.reading import Opened
from photoindex.health.records import Finding, Mend, ok, problem
from photoindex.terminal.wording import count

ANALYSES = "analyses"


def check_analyses(opened: Opened, here: frozenset[str]) -> Iterator[Finding]:
    """Whether embeddings and tokens can be right. here: the ids of the models on this machine.

    Only those can be made again whose model is here and whose photo has a file now.
    """
    look = opened.look
    with opened.database.view() as connection:
        found = list(damaged(connection, not look.quick, look.progress))
        mendable = set(can_be_made_again(connection, found, here))
    for flaw, number in Counter(one.flaw for one in found if one in mendable).items():
        yield problem(
            ANALYSES,
            f"{_number(number)}: {flaw}",
            '--repair drops them, and "photoindex index" analyses the photos again',
            Mend.ANALYSES,
        )
    for flaw, number in Counter(one.flaw for one in found if one not in mendable).items():
        yield problem(
            ANALYSES,
            f"{_number(number)}: {flaw}",
            "kept, as they cannot be made again now: bring back the disk with the photos and the "
            'model ("photoindex models"), and run doctor --repair again',
        )
    if not found:
        closely = "shapes" if look.quick else "shapes and numbers"
        yield ok(
            ANALYSES,
            f"{closely} as they should be, of {count(len(opened.catalog.models.all()), 'model')}",
        )


def _number(analyses: int) -> str:
    return f"{analyses:,} {'analysis' if analyses == 1 else 'analyses'}"
