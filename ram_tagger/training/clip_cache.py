"""CLIP's embeddings of all pictures and captions of a training set, computed once.

CLIP is frozen and sees the middle of a picture unchanged, so what it says of them never changes. A
cache is a folder of two NumPy files, `pictures.npy` (pictures, width) and `captions.npy` (captions,
width), float32, and `cache.json`, which says what they are of and how far they are filled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn

from photoindex.tagger import Progress
from ram_tagger.errors import Ended, RecipeError, UnreadablePicture
from ram_tagger.pixels import middle_square
from ram_tagger.predict import open_picture
from ram_tagger.stopping import Stopping
from ram_tagger.training.annotations import Annotations
from ram_tagger.training.captions import clean_caption
from ram_tagger.training.teacher import AT_ONCE, Teacher
from ram_tagger.writing import written_whole

Rows = np.memmap[tuple[int, int], np.dtype[np.float32]]
FACTS, PICTURES, CAPTIONS = "cache.json", "pictures.npy", "captions.npy"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a cache is of, and how many rows of each file are filled."""

    clip: str  # digest of CLIP's weights
    annotations: str  # digest of paths and captions
    images: str
    width: int
    pictures: int = 0
    captions: int = 0


@dataclass(frozen=True, slots=True)
class ClipCache:
    """A filled cache, memory-mapped.

    pictures: (pictures, width) float32, of CLIP's own length, a row of NaN for a picture that could
    not be read; captions: (captions, width) float32, unit length.
    """

    pictures: NDArray[np.float32]
    captions: NDArray[np.float32]


def facts_of(annotations: Annotations, images: Path, teacher: Teacher) -> Facts:
    """What a cache of these annotations has to be of."""
    digest = hashlib.blake2b(digest_size=16)
    for row in range(len(annotations)):
        annotation = annotations[row]
        digest.update(json.dumps([annotation.path, annotation.captions]).encode())
    width = teacher.clip.config.embedding_width
    return Facts(_digest(teacher.clip.network), digest.hexdigest(), str(images.resolve()), width)


def open_cache(folder: Path, facts: Facts, annotations: Annotations) -> ClipCache:
    """A filled cache. Raises RecipeError where it is of other data, another CLIP, or unfinished."""
    found = _read_facts(folder)
    if found is None:
        raise RecipeError(f"no CLIP cache in {folder}: fill it with ram-tagger train --cache-clip")
    _check(folder, found, facts)
    if (found.pictures, found.captions) != (len(annotations), len(annotations.captions)):
        raise RecipeError(
            f"the CLIP cache in {folder} is unfinished: go on with ram-tagger train --cache-clip"
        )
    pictures = _opened_rows(folder / PICTURES, found.pictures, facts.width, "r")
    return ClipCache(pictures, _opened_rows(folder / CAPTIONS, found.captions, facts.width, "r"))


def fill_cache(
    folder: Path,
    facts: Facts,
    annotations: Annotations,
    images: Path,
    teacher: Teacher,
    progress: Progress,
    stop: Stopping,
) -> None:
    """Embed what is not in the cache yet; one that was interrupted is continued.

    Raises RecipeError where the folder holds a cache of something else, Ended when asked to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _read_facts(folder) or facts
    _check(folder, found, facts)
    pictures = _rows(folder / PICTURES, len(annotations), found.pictures, facts.width)
    with ThreadPoolExecutor() as readers:
        for start in range(found.pictures, len(annotations), AT_ONCE):
            end = min(start + AT_ONCE, len(annotations))
            paths = [images / annotations[row].path for row in range(start, end)]
            pictures[start:end] = _embedded(paths, teacher, readers)
            found = _filled(folder, pictures, replace(found, pictures=end))
            progress("CLIP looks at pictures", end, len(annotations))
            _end_if(stop)
    captions = _rows(folder / CAPTIONS, len(annotations.captions), found.captions, facts.width)
    for start in range(found.captions, len(captions), AT_ONCE):
        end = min(start + AT_ONCE, len(captions))
        texts = [clean_caption(annotations.captions[row]) for row in range(start, end)]
        captions[start:end] = teacher.read(teacher.clip.tokenize(texts)).cpu().numpy()
        found = _filled(folder, captions, replace(found, captions=end))
        progress("CLIP reads captions", end, len(captions))
        _end_if(stop)


def _end_if(stop: Stopping) -> None:
    if stop.is_set():
        raise Ended("ended while CLIP's embeddings were computed; the same command again goes on")


def _embedded(
    paths: Sequence[Path], teacher: Teacher, readers: ThreadPoolExecutor
) -> NDArray[np.float32]:
    size = teacher.clip.config.image_size
    opened = list(readers.map(lambda path: _opened(path, size), paths))
    rows = np.full((len(paths), teacher.clip.config.embedding_width), np.nan, np.float32)
    read = [i for i, picture in enumerate(opened) if picture is not None]
    if read:
        seen = torch.stack([picture for picture in opened if picture is not None])
        rows[read] = teacher.see(seen).cpu().numpy()
    return rows


def _opened(path: Path, size: int) -> Tensor | None:
    try:
        picture: Image = middle_square(open_picture(path), size)
    except UnreadablePicture:
        return None  # the training itself says why, when it comes to the picture
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)


def _rows(path: Path, count: int, filled: int, width: int) -> Rows:
    if filled:
        return _opened_rows(path, count, width, "r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, width))


def _opened_rows(path: Path, count: int, width: int, mode: Literal["r", "r+"]) -> Rows:
    try:
        rows = np.lib.format.open_memmap(path, mode=mode)
        if rows.shape != (count, width) or rows.dtype != np.float32:
            raise ValueError(f"it holds {rows.shape} numbers, not {(count, width)}")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} is damaged: {error}; delete the folder") from error
    return rows


def _filled(folder: Path, rows: Rows, facts: Facts) -> Facts:
    """Say how far a file is filled, after the rows themselves are safe."""
    rows.flush()
    with written_whole(folder / FACTS) as file:
        file.write(json.dumps(asdict(facts)).encode("utf-8"))
    return facts


def _read_facts(folder: Path) -> Facts | None:
    try:
        return Facts(**json.loads((folder / FACTS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RecipeError(f"{folder / FACTS} is damaged: {error}; delete the folder") from error


def _check(folder: Path, found: Facts, wanted: Facts) -> None:
    parts = {
        "another CLIP": found.clip != wanted.clip,
        "other annotations": found.annotations != wanted.annotations,
        "another images folder": found.images != wanted.images,
    }
    for what, differs in parts.items():
        if differs:
            raise RecipeError(
                f"the CLIP cache in {folder} was made with {what}: delete it, or name another"
            )


def _digest(network: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
