"""A table of one's own photos and tags, as a spreadsheet writes it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ram_tagger.errors import RecipeError

PATH, TAGS, CAPTION = "path", "tags", "caption"
BETWEEN_TAGS = "|"
_COLUMNS = (PATH, TAGS, CAPTION)
_NO_TAG = frozenset(',\t\n\r"')


@dataclass(frozen=True, slots=True)
class OwnPhoto:
    """One photo: its path as written, the tags that it shows, and a caption or none."""

    path: str
    tags: tuple[str, ...]
    caption: str


def read_photo_table(path: Path) -> tuple[OwnPhoto, ...]:
    """The photos of a CSV file with the columns `path`, `tags` and, if wished, `caption`.

    Tags stand between bars (`cat|garden`); none is right for a photo that shows no tag. Columns are
    parted by commas, semicolons or tabs. Raises RecipeError naming the line and what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from error
    heading = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=heading.count))
    named = [column.strip().lower() for column in reader.fieldnames or ()]
    if not {PATH, TAGS} <= set(named) or not set(named) <= set(_COLUMNS):
        raise RecipeError(
            f"{path}: the first line must name the columns: {PATH},{TAGS} and, if wished, {CAPTION}"
        )
    reader.fieldnames = named
    try:
        photos = tuple(_photos(path, reader))
    except csv.Error as error:
        raise RecipeError(
            f"{path}: line {reader.line_num}: {error}: is a quote missing?"
        ) from error
    if not any(photo.tags for photo in photos):
        raise RecipeError(f"{path}: no photo has a tag: fill the column {TAGS}, a bar between tags")
    return photos


def tags_of(photos: Iterable[OwnPhoto]) -> tuple[str, ...]:
    """Every tag once, in the order in which the photos name them."""
    return tuple(dict.fromkeys(tag for photo in photos for tag in photo.tags))


def split(photos: Sequence[OwnPhoto], held_out: float) -> tuple[list[OwnPhoto], list[OwnPhoto]]:
    """Photos to train on and photos to measure on: the same ones every time.

    held_out: the part of each tag's photos that is measured on, 0..1; a tag with few photos keeps
    at least two of them to train on.
    """
    left = {
        tag: min(round(count * held_out), max(0, count - 2))
        for tag, count in _counts(photos).items()
    }
    every = round(1 / held_out) if held_out else 0
    measured: set[str] = set()
    for number, photo in enumerate(sorted(photos, key=_shuffled)):
        if photo.tags:
            chosen = all(left[tag] > 0 for tag in photo.tags)
        else:
            chosen = every > 0 and number % every == 0
        if chosen:
            measured.add(photo.path)
            for tag in photo.tags:
                left[tag] -= 1
    return (
        [photo for photo in photos if photo.path not in measured],
        [photo for photo in photos if photo.path in measured],
    )


def _shuffled(photo: OwnPhoto) -> bytes:
    """An order that has nothing to do with that of the table, where neighbours are alike."""
    return hashlib.blake2b(photo.path.encode("utf-8", "surrogatepass")).digest()


def _counts(photos: Iterable[OwnPhoto]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for photo in photos:
        for tag in photo.tags:
            counts[tag] = counts.get(tag, 0) + 1
    return counts


def _photos(path: Path, reader: csv.DictReader[str]) -> Iterator[OwnPhoto]:
    seen: dict[str, int] = {}
    spelled: dict[str, str] = {}
    for row in reader:
        line = reader.line_num
        if None in row or None in row.values():
            raise RecipeError(
                f"{path}: line {line} has another number of columns than the first line"
            )
        name = row[PATH].strip()
        if not name:
            raise RecipeError(f"{path}: line {line} names no photo")
        if name in seen:
            raise RecipeError(f"{path}: line {line}: {name} stands in line {seen[name]} already")
        seen[name] = line
        tags = dict.fromkeys(" ".join(tag.split()) for tag in row[TAGS].split(BETWEEN_TAGS))
        tags.pop("", None)
        for tag in tags:
            if not tag.isprintable() or _NO_TAG & set(tag):
                raise RecipeError(
                    f"{path}: line {line}: a tag may have no comma, quote or control character"
                )
        yield OwnPhoto(
            name,
            tuple(dict.fromkeys(spelled.setdefault(tag.casefold(), tag) for tag in tags)),
            (row.get(CAPTION) or "").strip(),
        )
