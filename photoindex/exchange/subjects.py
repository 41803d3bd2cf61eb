"""How a tag is spelt in XMP: flat, and as a path in a tree of tags.

`dc:subject` holds names. `lr:hierarchicalSubject` (Lightroom) holds paths as `root|cat`,
`digiKam:TagsList` as `root/cat`; neither can hold its separator inside a name, so there the wide
form of the same sign stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_DC = "http://purl.org/dc/elements/1.1/"
_LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
_DIGIKAM = "http://www.digikam.org/ns/1.0/"
_OURS = "urn:photoindex:written:1.0/"
_WIDE = {"|": "｜", "/": "／"}
_SEPARATORS = re.compile(r"[|/]")
# What XML 1.0 (production 2, Char) cannot hold.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Language(StrEnum):
    """In which language tags are written; those with no Chinese name are written in English."""

    ENGLISH = "en"
    CHINESE = "zh"


@dataclass(frozen=True, slots=True)
class Property:
    """A list of texts in an XMP document; separator: of the paths in it, None for flat names."""

    prefix: str
    namespace: str
    name: str
    container: str  # Bag, or Seq where the order means something
    separator: str | None = None

    def written(self) -> Property:
        """Where photoindex notes which entries of this list are its own."""
        return Property("photoindex", _OURS, self.name, self.container)

    def entry(self, name: str, root: Sequence[str]) -> str:
        """How a tag stands in this list."""
        if self.separator is None:
            return name
        return self.separator.join(self._wide(part) for part in (*root, name))

    def leaf(self, entry: str) -> str:
        """The last component of an entry."""
        return entry if self.separator is None else entry.rpartition(self.separator)[2]

    def parts(self, entry: str) -> tuple[str, ...]:
        """The components of an entry, the outermost first."""
        return (entry,) if self.separator is None else tuple(entry.split(self.separator))

    def _wide(self, part: str) -> str:
        separator = self.separator or ""
        return part.replace(separator, _WIDE[separator])


SUBJECT = Property("dc", _DC, "subject", "Bag")
HIERARCHICAL = Property("lr", _LIGHTROOM, "hierarchicalSubject", "Bag", "|")
TAGS_LIST = Property("digiKam", _DIGIKAM, "TagsList", "Seq", "/")
PATHS = (TAGS_LIST, HIERARCHICAL)
PROPERTIES = (SUBJECT, *PATHS)


def clean(names: Iterable[str]) -> tuple[str, ...]:
    """Names that XML can hold, on one line, each once; what is nothing then is left out."""
    spelt = (" ".join(_NO_XML.sub("", name).split()) for name in names)
    return tuple(dict.fromkeys(name for name in spelt if name))


def narrow(part: str) -> str:
    """A component with ordinary separators: to compare it with a flat name."""
    for separator, wide in _WIDE.items():
        part = part.replace(wide, separator)
    return part


def root_of(text: str) -> tuple[str, ...]:
    """The components of a root that a user typed, separated by `|` or `/`; none for "" ."""
    return clean(_SEPARATORS.split(text))
