"""The published annotation files: pictures with captions and tags, kept small in memory.

A file is a JSON list of `{"image_path": …, "caption": […], "union_label_id": […],
"parse_label_id": [[…], …]}`: tags are row numbers of the vocabulary, `union_label_id` those of the
picture, `parse_label_id` those that each caption speaks of.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram_tagger.errors import RecipeError

BLOCK = 1 << 20  # characters read from a file at a time
_OPENING, _BETWEEN = re.compile(r"\s*\["), re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One picture: its path as written, its captions, its tags as rows of the vocabulary."""

    path: str
    captions: tuple[str, ...]
    tags: tuple[int, ...]
    stated: tuple[tuple[int, ...], ...]  # the tags that each caption speaks of


class Annotations(Sequence[Annotation]):
    """Millions of annotations in a few flat arrays, shared by the processes that read pictures."""

    def __init__(self, annotations: Iterable[Annotation]) -> None:
        self._paths, self._captions = _Texts(), _Texts()
        self._tags, self._stated = _Lists(), _Lists()
        self._first_caption = array("q", [0])
        for annotation in annotations:
            self._paths.append(annotation.path)
            self._tags.append(annotation.tags)
            for caption, stated in zip(annotation.captions, annotation.stated, strict=True):
                self._captions.append(caption)
                self._stated.append(stated)
            self._first_caption.append(len(self._captions))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, int):
            raise TypeError("annotations are taken one by one")
        index = range(len(self))[index]
        captions = self.captions_of(index)
        return Annotation(
            self._paths[index],
            tuple(self._captions[i] for i in captions),
            self._tags[index],
            tuple(self._stated[i] for i in captions),
        )

    @property
    def captions(self) -> Sequence[str]:
        """The captions of all pictures, one picture after the other."""
        return self._captions

    def captions_of(self, index: int) -> range:
        """Which of `captions` are those of one picture."""
        return range(self._first_caption[index], self._first_caption[index + 1])


def read_annotations(paths: Sequence[Path], tags: int) -> Annotations:
    """Several files as one, each read piece by piece.

    tags: size of the vocabulary. Raises RecipeError naming the file, the entry and what is wrong.
    """
    annotations = Annotations(a for path in paths for a in _annotations(path, tags))
    if not len(annotations):
        raise RecipeError(f"no picture in {', '.join(map(str, paths))}")
    return annotations


def _annotations(path: Path, tags: int) -> Iterator[Annotation]:
    for number, entry in enumerate(_entries(path), 1):
        try:
            annotation = _annotation(entry)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise RecipeError(f"{path}: entry {number}: {reason}") from error
        named = [*annotation.tags, *(t for s in annotation.stated for t in s)]
        if named and not 0 <= min(named) <= max(named) < tags:
            stranger = min(named) if min(named) < 0 else max(named)
            raise RecipeError(
                f"{path}: entry {number}: names tag {stranger} of {tags}: the annotations are of "
                "another tag list"
            )
        yield annotation


def _annotation(entry: Any) -> Annotation:
    if not isinstance(entry, dict):
        raise TypeError("expected an object with image_path, caption and union_label_id")
    captions = tuple(map(_text, _list(entry["caption"])))
    if not captions:
        raise ValueError("no caption: give at least one")
    stated = tuple(map(_rows, _list(entry.get("parse_label_id", [[]] * len(captions)))))
    if len(stated) != len(captions):
        raise ValueError(f"{len(captions)} captions, but parse_label_id has {len(stated)} lists")
    return Annotation(
        _text(entry["image_path"]),
        captions,
        _rows(entry["union_label_id"]),
        stated,
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {value!r:.40}")
    return value


def _rows(value: Any) -> tuple[int, ...]:
    for row in _list(value):
        if type(row) is not int:  # true and false are none
            raise TypeError(f"expected the number of a tag, found {row!r:.40}")
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r:.40}")
    return value


def _entries(path: Path) -> Iterator[Any]:
    """The entries of a JSON list, one after the other, whatever the file's size."""
    decoder = json.JSONDecoder()
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(BLOCK)
            opening = _OPENING.match(text)
            if opening is None:
                raise RecipeError(f"{path}: expected a JSON list of annotations")
            at = opening.end()
            while True:
                at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
                if text.startswith("]", at):
                    return
                try:
                    entry, at = decoder.raw_decode(text, at)
                except json.JSONDecodeError as error:
                    more = file.read(BLOCK)
                    if not more or len(text) - error.pos > BLOCK:
                        raise RecipeError(f"{path}: not whole JSON: {error.msg}") from error
                    text, at = text[at:] + more, 0
                except (ValueError, RecursionError) as error:  # endless numbers, endless nesting
                    raise RecipeError(f"{path}: not whole JSON: {error}") from error
                else:
                    yield entry
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error


class _Texts(Sequence[str]):
    """Many texts in one block of bytes."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])

    def append(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        index = range(len(self))[index]
        part = self._bytes[self._ends[index] : self._ends[index + 1]]
        return part.decode("utf-8", "surrogatepass")


class _Lists:
    """Many short lists of numbers below 2**31 in one array."""

    def __init__(self) -> None:
        self._numbers, self._ends = array("i"), array("q", [0])

    def append(self, numbers: Iterable[int]) -> None:
        self._numbers.extend(numbers)
        self._ends.append(len(self._numbers))

    def __getitem__(self, index: int) -> tuple[int, ...]:
        return tuple(self._numbers[self._ends[index] : self._ends[index + 1]])
