"""The vocabulary of a model: names, Chinese names and thresholds, in the order of its labels."""

from __future__ import annotations

from dataclasses import dataclass

from ram_tagger.errors import ShapeError


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A vocabulary in checkpoint order: parallel names, Chinese names and thresholds (0..1).

    A tag without a Chinese name has an empty one.
    """

    names: tuple[str, ...]
    names_zh: tuple[str, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.names_zh) == len(self.thresholds):
            raise ShapeError(
                f"{len(self.names)} tags, {len(self.names_zh)} Chinese tags and "
                f"{len(self.thresholds)} thresholds: give one line of each for every tag"
            )

    def __len__(self) -> int:
        return len(self.names)
