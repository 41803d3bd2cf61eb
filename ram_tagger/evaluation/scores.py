"""What a model says of every picture of a benchmark, kept so that no figure needs it again."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from photoindex.tagger import Concept, Floats, Progress, no_progress
from ram_tagger.config import ModelConfig
from ram_tagger.errors import Ended, RamTaggerError, UnreadablePicture
from ram_tagger.evaluation.benchmark import Benchmark, named
from ram_tagger.stopping import Stopping
from ram_tagger.writing import written_whole

if TYPE_CHECKING:
    from torch import Tensor

    from ram_tagger.labels import LabelBank
    from ram_tagger.predict import Picture, RamTagger

By = Literal["decoder", "clip"]
FORMAT = 1
READERS = min(8, os.cpu_count() or 1)
"""Pictures decoded at a time, beside the network."""

# What NumPy and zipfile raise on files that are damaged or of another kind.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True)
class Scores:
    """A benchmark's pictures that could be read, scored for each of its tags.

    values: (pictures, tags) float32, probabilities, or cosines where `by` is "clip"; truth:
    (pictures, tags) bool; thresholds: (tags,) float64, those of the model or of the concepts when
    the scores were made, nan by CLIP, which has none; unreadable: the names of the pictures that
    have no row; descriptions: a digest of an open set's descriptions, empty for a closed set.
    """

    benchmark: str
    values: Floats
    called: tuple[str, ...]
    tags: tuple[str, ...]
    truth: NDArray[np.bool_]
    thresholds: NDArray[np.float64]
    model_id: str
    by: By
    unreadable: tuple[str, ...] = ()
    descriptions: str = ""

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all. Raises RamTaggerError."""
        arrays: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with written_whole(path) as file:
            np.savez(file, format=np.asarray(FORMAT), **arrays)

    @classmethod
    def load(cls, path: Path) -> Scores:
        """Read what `save` wrote; nothing in the file is run. Raises RamTaggerError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["format"]) != FORMAT:
                    raise RamTaggerError(f"{path} was written by another version: score again")
                scores = cls(
                    benchmark=str(file["benchmark"]),
                    values=file["values"],
                    called=_names(file["called"]),
                    tags=_names(file["tags"]),
                    truth=file["truth"],
                    thresholds=file["thresholds"],
                    model_id=str(file["model_id"]),
                    by="clip" if str(file["by"]) == "clip" else "decoder",
                    unreadable=_names(file["unreadable"]),
                    descriptions=str(file["descriptions"]),
                )
            scores._check()
        except FileNotFoundError as error:
            raise RamTaggerError(f"no scores at {path}: name a benchmark to make them") from error
        except _DAMAGE as error:
            raise RamTaggerError(
                f"{path} is no scores file that can be read: name another, or score again"
            ) from error
        return scores

    def _check(self) -> None:
        shape = (len(self.called), len(self.tags))
        fit = self.values.shape == self.truth.shape == shape and all(shape)
        kinds = (self.values.dtype, self.truth.dtype, self.thresholds.dtype)
        known = kinds == (np.dtype(np.float32), np.dtype(np.bool_), np.dtype(np.float64))
        if not (fit and known and self.thresholds.shape == shape[1:]):
            raise ValueError("arrays that do not fit each other")
        if not np.isfinite(self.values).all():
            raise ValueError("figures that are none")


def _names(array: NDArray[np.str_]) -> tuple[str, ...]:
    return tuple(map(str, array.tolist()))


def describe_concepts(concepts: Sequence[Concept]) -> str:
    """A digest of what makes an open set's scores: which descriptions each tag has."""
    if not concepts:
        return ""
    table = [[concept.name, *concept.descriptions] for concept in concepts]
    return hashlib.blake2b(json.dumps(table).encode(), digest_size=8).hexdigest()


def check_scores(path: Path, scores: Scores, benchmark: Benchmark) -> None:
    """Raises RamTaggerError where the scores read from a path are not those of a benchmark."""
    unread = set(scores.unreadable)
    kept = [row for row, name in enumerate(benchmark.called) if name not in unread]
    if scores.tags != benchmark.tags:
        what = "of another tag list"
    elif scores.called != tuple(benchmark.called[row] for row in kept):
        what = "of other pictures"
    elif not np.array_equal(scores.truth, benchmark.truth[kept]):
        what = "of other annotations"
    elif bool(scores.descriptions) != bool(benchmark.concepts):
        what = f"of {'an open' if scores.descriptions else 'a closed'} set"
    elif scores.descriptions != describe_concepts(benchmark.concepts):
        what = "of other descriptions"
    else:
        return
    raise RamTaggerError(f"{path} holds scores {what}: name another file for --scores")


def check_model(path: Path, scores: Scores, folder: Path) -> None:
    """Raises RamTaggerError where the scores read from a path are not of the model in a folder.

    Only the model's config is read, so that no network library is loaded.
    """
    try:
        table = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_id = ModelConfig.from_json(table).model_id
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RamTaggerError(f"{folder} is no model folder: name one for --model-dir") from error
    if model_id != scores.model_id:
        raise RamTaggerError(
            f"{path} holds scores of {scores.model_id}, not of {model_id}: "
            "name another file for --scores"
        )


def score_benchmark(
    tagger: RamTagger,
    benchmark: Benchmark,
    progress: Progress = no_progress,
    by: By = "decoder",
    stop: Stopping | None = None,
) -> Scores:
    """Score every picture of a benchmark for its tags.

    by: "decoder", or "clip", the cosine of the picture's embedding and a tag's mean description
    embedding. Pictures are decoded by threads a little ahead of the network, so that memory stays
    flat. One that cannot be read is left out and named. The network may be in training: it is put
    back into that mode. Raises RamTaggerError where a tag is not in the vocabulary or no picture
    can be read, Ended when asked to stop.
    """
    import torch

    bank, columns, thresholds = _labels(tagger, benchmark)
    if by == "clip":
        thresholds = np.full_like(thresholds, np.nan)
    prepare, score = _by_clip(tagger, bank) if by == "clip" else _by_decoder(tagger, bank)
    total, size = len(benchmark.pictures), tagger.batch_size
    values = np.empty((total, len(benchmark.tags)), np.float32)
    read: list[int] = []
    waiting: list[Tensor] = []
    failures: dict[int, UnreadablePicture] = {}
    training = [module for module in tagger.network.modules() if module.training]
    tagger.network.eval()
    try:
        progress("scoring pictures", 0, total)
        for row, pixels in enumerate(_ahead(prepare, benchmark.pictures, 2 * size)):
            if isinstance(pixels, UnreadablePicture):
                failures[row] = pixels
            else:
                read.append(row)
                waiting.append(pixels)
            if len(waiting) == size or (waiting and row == total - 1):
                scored = score(torch.stack(waiting))[:, columns]
                values[len(read) - len(waiting) : len(read)] = scored
                waiting.clear()
                if stop is not None and stop.is_set():
                    raise Ended("ended while pictures were scored")
                progress("scoring pictures", row + 1, total)
    finally:
        for module in training:
            module.training = True
    if not read:
        raise RamTaggerError(
            f"none of {total} pictures can be read ({failures[0]}): is --images right?"
        )
    return Scores(
        benchmark=benchmark.name,
        values=values[: len(read)],
        called=tuple(benchmark.called[row] for row in read),
        tags=benchmark.tags,
        truth=benchmark.truth[read],
        thresholds=thresholds,
        model_id=tagger.config.model_id,
        by=by,
        unreadable=tuple(benchmark.called[row] for row in failures),
        descriptions=describe_concepts(benchmark.concepts),
    )


def vocabulary_rows(tags: Sequence[str], vocabulary: Sequence[str]) -> list[int]:
    """The vocabulary's row for each tag of a list.

    The second occurrence of a tag takes the second row of that name, and so on; the first row where
    there are not so many. Raises RamTaggerError for tags that have none.
    """
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(vocabulary):
        rows.setdefault(name, []).append(row)
    missing = [tag for tag in dict.fromkeys(tags) if tag not in rows]
    spelled = {name.casefold(): name for name in rows}
    if missing and missing[0].casefold() in spelled:
        right = spelled[missing[0].casefold()]
        raise RamTaggerError(f'"{missing[0]}" is spelled "{right}" in the model\'s vocabulary')
    if missing:
        raise RamTaggerError(
            f"not in the model's vocabulary: {named(missing)} ({len(missing)} of {len(set(tags))} "
            "tags): give --descriptions, or --open-set, for an open-set run"
        )
    seen: dict[str, int] = {}
    found = []
    for tag in tags:
        at = seen.get(tag, 0)
        seen[tag] = at + 1
        found.append(rows[tag][at] if at < len(rows[tag]) else rows[tag][0])
    return found


Prepare = Callable[["Picture"], "Tensor"]
Score = Callable[["Tensor"], Floats]


def _labels(
    tagger: RamTagger, benchmark: Benchmark
) -> tuple[LabelBank, NDArray[np.int64], NDArray[np.float64]]:
    """The labels to score, which of them each tag of the benchmark is, and each tag's threshold."""
    from ram_tagger.openset import bank_of

    if benchmark.concepts:
        concepts = list(dict.fromkeys(benchmark.concepts))
        bank = bank_of(tagger.embed_concepts(concepts)).to(tagger.device, tagger.dtype)
        at = {concept: row for row, concept in enumerate(concepts)}
        rows = [at[concept] for concept in benchmark.concepts]
        thresholds = [concept.threshold for concept in benchmark.concepts]
    else:
        bank = tagger.bank
        rows = vocabulary_rows(benchmark.tags, tagger.labels.names)
        thresholds = [tagger.labels.thresholds[row] for row in rows]
    # A row that stands in several columns is scored once, so that they are equal to the last bit.
    distinct, columns = np.unique(rows, return_inverse=True)
    chosen = bank.chosen(distinct.tolist())
    return chosen, columns, np.array(thresholds, dtype=np.float64)


def _by_decoder(tagger: RamTagger, bank: LabelBank) -> tuple[Prepare, Score]:
    import torch

    from ram_tagger.pixels import ram_pixels
    from ram_tagger.predict import open_picture

    def prepare(picture: Picture) -> Tensor:
        return ram_pixels([open_picture(picture)], tagger.config.ram)[0]

    @torch.inference_mode()
    def score(pixels: Tensor) -> Floats:
        tokens = tagger.network.encode(pixels.to(tagger.device, tagger.dtype))
        return tagger.network.score(tokens, bank).float().sigmoid().cpu().numpy()

    return prepare, score


def _by_clip(tagger: RamTagger, bank: LabelBank) -> tuple[Prepare, Score]:
    import torch
    import torch.nn.functional as F

    from ram_tagger.pixels import clip_pixels
    from ram_tagger.predict import open_picture

    parts = bank.embeddings.detach().float().split(bank.counts.tolist())
    means = F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=-1)  # C D

    def prepare(picture: Picture) -> Tensor:
        return clip_pixels([open_picture(picture)], tagger.config.clip)[0]

    def score(pixels: Tensor) -> Floats:
        embeddings = tagger.clip.embed_pixels(pixels.to(tagger.device, tagger.dtype))
        return (embeddings @ means.T).cpu().numpy()

    return prepare, score


def _ahead(
    prepare: Prepare, pictures: Iterable[Picture], most: int
) -> Iterator[Tensor | UnreadablePicture]:
    """Pictures as the network reads them, in order; never more than `most` lie ready."""

    def attempt(picture: Picture) -> Tensor | UnreadablePicture:
        try:
            return prepare(picture)
        except UnreadablePicture as error:
            return error

    ready: deque[Future[Tensor | UnreadablePicture]] = deque()
    with ThreadPoolExecutor(READERS, thread_name_prefix="reading") as pool:
        try:
            for picture in pictures:
                ready.append(pool.submit(attempt, picture))
                if len(ready) >= most:
                    yield ready.popleft().result()
            while ready:
                yield ready.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
