"""Benchmarks in the layout of the original repository: tag list, annotations, pictures.

A tag list has one tag a line; a tag may stand there several times, where several classes of a
benchmark became one tag. Annotations have one picture a line, `path,tag,tag,…`, the path often
without its suffix, in double quotes where it holds a comma. Descriptions, in any form that
`add-concept` takes, make it an open set.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoindex.concept_file import read_concepts
from photoindex.tagger import Concept
from ram_tagger.errors import RamTaggerError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""What a path in the annotations may lack, tried in this order."""
NAMED = 5
"""How many names of something an error spells out."""
_TAG_LIST, _ANNOTATIONS = "_taglist.txt", "_annots.txt"
_DESCRIPTIONS, _PICTURES = "_llm_tag_descriptions.json", "imgs"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Pictures, tags, and which tag is true of which picture.

    called: the names of the pictures in the annotations; truth: (pictures, tags) bool; concepts:
    one for each tag, for an open set; empty where tags are those of a model's vocabulary.
    Raises ShapeError where they do not fit each other.
    """

    name: str
    pictures: tuple[Path | Image, ...]
    called: tuple[str, ...]
    tags: tuple[str, ...]
    truth: NDArray[np.bool_]
    concepts: tuple[Concept, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.pictures), len(self.tags))
        if self.truth.shape != shape or len(self.called) != shape[0]:
            raise ShapeError(
                f"{shape[0]} pictures, {len(self.called)} names and {shape[1]} tags do not fit "
                f"a truth of {self.truth.shape}"
            )
        if len(self.concepts) not in (0, shape[1]):
            raise ShapeError(f"{len(self.concepts)} concepts for {shape[1]} tags: give one each")


@dataclass(frozen=True, slots=True)
class BenchmarkFiles:
    """Where the parts of a benchmark lie; descriptions are None where there are none."""

    tag_list: Path
    annotations: Path
    images: Path
    descriptions: Path | None = None

    def read(self, open_set: bool) -> Benchmark:
        """The benchmark, as an open set or not. Raises RamTaggerError, ConceptError."""
        if open_set and self.descriptions is None:
            raise RamTaggerError(
                f"{self.tag_list.parent} has no *{_DESCRIPTIONS}: name one by --descriptions"
            )
        descriptions = self.descriptions if open_set else None
        return read_benchmark(self.tag_list, self.annotations, self.images, descriptions)


def find_benchmark(
    folder: Path,
    tag_list: Path | None = None,
    annotations: Path | None = None,
    images: Path | None = None,
    descriptions: Path | None = None,
) -> BenchmarkFiles:
    """The files of a folder in the original layout, but for those that are named.

    Where there are files for several models, those named `*_ram_*` are meant. Raises RamTaggerError
    where a file is missing or several could be meant.
    """
    if not folder.is_dir():
        raise RamTaggerError(f"no folder {folder}: name the folder of a benchmark")
    if descriptions is None and any(folder.glob(f"*{_DESCRIPTIONS}")):
        descriptions = _only(folder, _DESCRIPTIONS, "--descriptions")
    return BenchmarkFiles(
        tag_list or _only(folder, _TAG_LIST, "--tag-list"),
        annotations or _only(folder, _ANNOTATIONS, "--annotations"),
        images or folder / _PICTURES,
        descriptions,
    )


def read_benchmark(
    tag_list: Path, annotations: Path, images: Path, descriptions: Path | None = None
) -> Benchmark:
    """A benchmark from its files; pictures are looked for, not opened.

    descriptions: make it an open set, with the descriptions of every tag in the list. A picture
    that is not there keeps its path as written. Raises RamTaggerError naming file, line and tag,
    and ConceptError for a malformed description file.
    """
    tags = read_tag_list(tag_list)
    columns: dict[str, list[int]] = {}
    for column, tag in enumerate(tags):
        columns.setdefault(tag, []).append(column)
    called: list[str] = []
    cells: list[tuple[int, int]] = []
    for number, line in _lines(annotations):
        name, *true = (part.strip() for part in next(csv.reader([line])))
        if not name:
            raise RamTaggerError(f"{annotations}: line {number} names no picture")
        for tag in filter(None, true):
            if tag not in columns:
                raise RamTaggerError(
                    f'{annotations}: line {number}: "{tag}" is not in the tag list {tag_list}'
                )
            cells += ((len(called), column) for column in columns[tag])
        called.append(name)
    if not called:
        raise RamTaggerError(f"{annotations} names no picture: write path,tag,tag,… lines")
    truth = np.zeros((len(called), len(tags)), dtype=np.bool_)
    if cells:
        truth[tuple(np.array(cells).T)] = True
    pictures = tuple(_pictures(images, called))
    concepts = () if descriptions is None else _described(descriptions, tags)
    return Benchmark(_name(tag_list), pictures, tuple(called), tags, truth, concepts)


def read_tag_list(path: Path) -> tuple[str, ...]:
    """The tags of a list, in order, duplicates kept. Raises RamTaggerError."""
    tags = tuple(line.strip() for _, line in _lines(path))
    if not tags:
        raise RamTaggerError(f"{path} holds no tag: write one tag a line")
    return tags


def named(names: Sequence[str]) -> str:
    """The first few of some names, quoted, for a message."""
    first = ", ".join(f'"{name}"' for name in names[:NAMED])
    return first if len(names) <= NAMED else f"{first} …"


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8. Raises RamTaggerError."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RamTaggerError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RamTaggerError(f"{path} is not UTF-8 text: save it as UTF-8") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with something in them, and their numbers."""
    return ((number, line) for number, line in enumerate(read_lines(path), 1) if line.strip())


def _only(folder: Path, ending: str, option: str) -> Path:
    found = sorted(folder.glob(f"*{ending}"))
    meant = [path for path in found if path.name.endswith(f"_ram{ending}")] or found
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise RamTaggerError(f"{folder} has no *{ending}: name one by {option}")
    raise RamTaggerError(
        f"{folder} has several *{ending} ({named([p.name for p in meant])}): name one by {option}"
    )


def _pictures(images: Path, called: Sequence[str]) -> Iterator[Path]:
    listed: dict[Path, Mapping[str, str]] = {}
    for name in called:
        path = images / name
        if path.parent not in listed:
            listed[path.parent] = _files_in(path.parent)
        there = listed[path.parent]
        written = [path.name, *(path.name + suffix for suffix in SUFFIXES)]
        yield next((path.with_name(there[w]) for w in written if w in there), path)


def _files_in(folder: Path) -> dict[str, str]:
    """The names in a folder, also under what they are with their suffix in small letters."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    ends = {name: Path(name).suffix for name in names}
    lowered = {name.removesuffix(end) + end.lower(): name for name, end in ends.items()}
    return lowered | {name: name for name in names}


def _described(path: Path, tags: Sequence[str]) -> tuple[Concept, ...]:
    concepts = {concept.name.casefold(): concept for concept in read_concepts(path)}
    keys = {tag: " ".join(tag.split()).casefold() for tag in tags}
    missing = [tag for tag, key in keys.items() if key not in concepts]
    if missing:
        raise RamTaggerError(
            f"{path} lacks descriptions of {named(missing)} ({len(missing)} of {len(keys)} tags): "
            "add them, or take the tags off the list"
        )
    return tuple(concepts[keys[tag]] for tag in tags)


def _name(tag_list: Path) -> str:
    return tag_list.name.removesuffix(_TAG_LIST).removesuffix("_ram") or tag_list.stem
