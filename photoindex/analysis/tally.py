"""What became of the files of a run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the files of a run."""

    analysed: int = 0  # photos that a network looked at
    linked: int = 0  # files that hold a photo already analysed: copies, touched files
    failed: int = 0  # files that cannot be read as pictures
    deleted: int = 0  # files that are gone
    unsettled: int = 0  # files that changed while they were read, or could not be; tried again
    moved: int = 0  # known files at another path
    back: int = 0  # known files that were gone or offline, and lie there unchanged
    offline: int = 0  # files on a disk that is not there

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.analysed + other.analysed,
            self.linked + other.linked,
            self.failed + other.failed,
            self.deleted + other.deleted,
            self.unsettled + other.unsettled,
            self.moved + other.moved,
            self.back + other.back,
            self.offline + other.offline,
        )
