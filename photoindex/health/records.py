"""What an examination says, and what can be mended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Verdict(StrEnum):
    """How a check ended. A note is nothing to worry about, a problem something to do about."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Mend(Enum):
    """What `repair` can do, in the order in which it is done."""

    PERMISSIONS = auto()
    LEFTOVERS = auto()
    UPGRADE = auto()
    LOST_ROWS = auto()
    ANALYSED = auto()
    TAGS = auto()
    POSTINGS = auto()
    CONCEPT_ROWS = auto()
    TIMES = auto()
    ANALYSES = auto()
    OLD_VECTORS = auto()
    VECTORS = auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    found: one line; advice: what to do, "" where nothing is; mend: what would mend it, None where
    `repair` cannot.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
    mend: Mend | None = None


@dataclass(frozen=True, slots=True)
class Mended:
    """Something that was mended, in one line."""

    mend: Mend
    done: str


@dataclass(frozen=True, slots=True)
class Report:
    """An examination; after a repair, of what is there then."""

    findings: tuple[Finding, ...]
    mended: tuple[Mended, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether no problem is left."""
        return all(finding.verdict is not Verdict.PROBLEM for finding in self.findings)


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, found)


def note(check: str, found: str, advice: str = "", mend: Mend | None = None) -> Finding:
    """Worth knowing."""
    return Finding(check, Verdict.NOTE, found, advice, mend)


def problem(check: str, found: str, advice: str, mend: Mend | None = None) -> Finding:
    """Something is wrong."""
    return Finding(check, Verdict.PROBLEM, found, advice, mend)
