"""A folder of several hundred small pictures, and what an undisturbed run makes of it.

What a test counts, it says with `record_property`: the run ends with one line of JSON a test.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from disturbed import Place, Undisturbed, draw, look


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    top = tmp_path_factory.mktemp("undisturbed")
    place = Place(top, draw(top / "pictures"))
    place.run("index", str(place.pictures))
    place.run("add-concept", str(place.concepts()))
    return Undisturbed(place.pictures, look(place.library))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of tests that ran, those of one test's parameters added up."""
    figures: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if report.when == "call":
                told = figures.setdefault(report.nodeid.split("[")[0], Counter())
                told.update({"runs": 1, outcome: 1, "seconds": round(report.duration)})
                told.update(dict(report.user_properties))
    for test, told in figures.items():
        terminalreporter.write_line(json.dumps({"test": test.rpartition("::")[2], **told}))
