"""RamTagger: pictures in; tags, image tokens and embeddings out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pi_heif
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from photoindex.tagger import Concept, Floats, ImageTokens, LabelEmbeddings, StoredPhotos, Tag
from ram_tagger import checkpoint
from ram_tagger.clip import Clip
from ram_tagger.config import ModelConfig
from ram_tagger.decoder import are_few
from ram_tagger.errors import CheckpointError, RamTaggerError, UnreadablePicture
from ram_tagger.labels import LabelBank
from ram_tagger.memory import fitting_batch
from ram_tagger.model import RamPlus
from ram_tagger.model_folder import load_config, load_labels
from ram_tagger.openset import bank_of, embed_concepts
from ram_tagger.packed import can_pack, pack
from ram_tagger.pixels import as_rgb, clip_pixels, ram_pixels
from ram_tagger.vocabulary import LabelSet
from ram_tagger.workers import Workers

Picture = Path | str | Image.Image
T = TypeVar("T")

pi_heif.register_heif_opener()  # Pillow opens HEIC, which phones write, only with its help

PAIRS = 16_384
"""Pairs of a stored photo and a label decoded at a time: bounds memory whatever is asked."""
PHOTOS = 256
"""Stored photos decoded at a time: enough for matrix products to run at their full rate."""
WORTH_BF16 = 50_000_000
"""Parameters from which 16-bit arithmetic pays; below, equal figures everywhere matter more."""


# What Pillow's decoders raise on files that are damaged or of another kind.
_NO_PICTURE = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of one picture.

    probabilities: (tags,) float32, 0..1, in vocabulary order; tokens: (1 + patches, width)
    float32; embedding: (width,) float32, CLIP's, unit length.
    """

    probabilities: Floats
    tokens: Floats
    embedding: Floats


class RamTagger:
    """A loaded model folder: one place for transforms, batching, device and precision."""

    def __init__(
        self,
        config: ModelConfig,
        network: RamPlus,
        clip: Clip,
        labels: LabelSet,
        bank: LabelBank,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        without_tf32()
        self.config = config
        self.labels = labels
        self.device = choose_device(device)
        self.dtype = choose_dtype(precision, self.device, network)
        packed = can_pack(self.device, self.dtype)
        if packed:
            pack(network)
        self.network = network.to(self.device, self.dtype)
        self.network.encoder.settle()
        self.network.decoder.settle()
        self.clip = clip
        clip.settle(self.device, self.dtype, packed)
        self.bank = bank.to(self.device, self.dtype)
        self.batch_size = fitting_batch(self.device)
        # In 32 bit torch's other library multiplies, which would not compute with one thread each.
        self._workers = Workers() if packed else None

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> RamTagger:
        """Open a model folder. Raises CheckpointError, RamTaggerError."""
        config = load_config(folder)
        network = checkpoint.load_network(folder, config.ram)
        clip = Clip(config.clip, checkpoint.load_clip(folder, config.clip))
        where = choose_device(device)
        # Converted while nothing else is: the network is mapped from its file and not read yet.
        bank = checkpoint.load_bank(folder).to(where, choose_dtype(precision, where, network))
        labels = load_labels(folder)
        if len(bank) != len(labels):
            raise CheckpointError(
                f"{folder} has {len(labels)} tags and embeddings of {len(bank)}: convert it again"
            )
        return cls(config, network, clip, labels, bank, device, precision)

    def predict(self, pictures: Iterable[Picture]) -> Iterator[Prediction]:
        """Every probability, the image tokens and the CLIP embedding, picture by picture.

        Raises UnreadablePicture for a path that holds none.
        """
        for batch in batched(pictures, self.batch_size):
            yield from self._predict([open_picture(picture) for picture in batch])

    def _predict(self, pictures: Sequence[Image.Image]) -> list[Prediction]:
        """With smaller batches from here on where a GPU has too little memory for this one."""
        try:
            return self._look_at(pictures)
        except torch.OutOfMemoryError:
            if len(pictures) == 1:
                raise
        torch.cuda.empty_cache()
        half = self.batch_size = (len(pictures) + 1) // 2
        return [*self._predict(pictures[:half]), *self._predict(pictures[half:])]

    def _look_at(self, pictures: Sequence[Image.Image]) -> list[Prediction]:
        workers = self._workers
        if workers is None or len(pictures) < workers.count:
            return self._look_at_once(pictures)
        parts = batched(pictures, -(-len(pictures) // workers.count))
        return [one for part in workers.map(self._look_at_once, parts) for one in part]

    @torch.inference_mode()
    def _look_at_once(self, pictures: Sequence[Image.Image]) -> list[Prediction]:
        pixels = ram_pixels(pictures, self.config.ram).to(self.device, self.dtype)
        tokens = self.network.encode(pixels)
        probabilities = _numpy(self.network.score(tokens, self.bank).float().sigmoid())
        return list(map(Prediction, probabilities, _numpy(tokens), self.embed_pictures(pictures)))

    def tags(self, prediction: Prediction, threshold: float | None = None) -> tuple[Tag, ...]:
        """The tags whose probability is above their own threshold, most probable first.

        threshold: one for all tags instead.
        """
        limits = np.array(self.labels.thresholds, dtype=np.float32)
        if threshold is not None:
            limits = np.full_like(limits, threshold)
        shown = np.flatnonzero(prediction.probabilities > limits)
        return self.describe_tags(prediction, shown)

    def describe_tags(self, prediction: Prediction, rows: NDArray[np.int64]) -> tuple[Tag, ...]:
        """Tags of some vocabulary rows, most probable first, each with its own threshold."""
        order = rows[np.argsort(-prediction.probabilities[rows], kind="stable")]
        probabilities = prediction.probabilities[order].tolist()
        labels = self.labels
        return tuple(
            Tag(
                labels.names[row], labels.names_zh[row] or None, probability, labels.thresholds[row]
            )
            for row, probability in zip(order.tolist(), probabilities, strict=True)
        )

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Floats:
        """(pictures, width) CLIP image embeddings, unit length."""
        if not pictures:
            return np.empty((0, self.config.clip.embedding_width), np.float32)
        pixels = clip_pixels(pictures, self.config.clip).to(self.device, self.dtype)
        return _numpy(self.clip.embed_pixels(pixels))

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """(texts, width) CLIP text embeddings, unit length."""
        return _numpy(self.clip.embed_text(texts))

    def embed_concepts(self, concepts: Sequence[Concept]) -> LabelEmbeddings:
        """The label embeddings of concepts."""
        return embed_concepts(self.clip, concepts)

    def score(self, labels: LabelEmbeddings, photos: Iterable[StoredPhotos]) -> Floats:
        """(photos, labels) probabilities from stored tokens, block by block as they come."""
        # Few descriptions cost little in 32 bit.
        dtype = torch.float32 if are_few(len(labels)) else self.dtype
        bank = bank_of(labels).to(self.device, dtype)
        size = min(PHOTOS, max(1, PAIRS // max(1, len(labels))))
        parts = (part for block in photos for part in _cut(_tokens_of(block), size))
        each = map if self._workers is None else self._workers.map
        scores = list(each(lambda part: self._score(part, bank), parts))
        return np.concatenate(scores) if scores else np.empty((0, len(labels)), np.float32)

    @torch.inference_mode()
    def _score(self, stored: ImageTokens, bank: LabelBank) -> Floats:
        values = torch.from_numpy(stored.values).to(self.device)  # B N D
        scales = torch.from_numpy(stored.scales).to(self.device)  # B N
        return _numpy(self.network.score(values, bank, scales).float().sigmoid())


def open_picture(picture: Picture) -> Image.Image:
    """An upright RGB picture from a path or a picture. Raises UnreadablePicture."""
    try:
        if isinstance(picture, Image.Image):
            return as_rgb(ImageOps.exif_transpose(picture))
        with Image.open(picture) as file:
            return as_rgb(ImageOps.exif_transpose(file))
    except _NO_PICTURE as error:
        raise UnreadablePicture(f"{picture}: no picture that can be read: {error}") from error


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises RamTaggerError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # The meta device computes shapes only; any other must be able to hand back a number.
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise RamTaggerError(
            f'no device "{name}" here: use --device cpu, or install a torch with CUDA'
        ) from error
    return device


def choose_dtype(precision: str, device: torch.device, network: RamPlus) -> torch.dtype:
    """fp32, bf16, or for `auto` bf16 where the hardware multiplies it fast and the model is large.

    Raises RamTaggerError for another word.
    """
    named = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if precision in named:
        return named[precision]
    if precision != "auto":
        raise RamTaggerError(f'no precision "{precision}": use auto, fp32 or bf16')
    large = sum(p.numel() for p in network.parameters()) >= WORTH_BF16
    return torch.bfloat16 if large and fast_bf16(device) else torch.float32


def without_tf32() -> None:
    """Let GPUs compute float32 as float32, for the whole process: they round convolutions else."""
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


def fast_bf16(device: torch.device) -> bool:
    """Whether bf16 matrix products run in hardware: recent NVIDIA GPUs, AVX512-BF16 and AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def _tokens_of(photos: StoredPhotos) -> ImageTokens:
    if photos.tokens is None:
        raise RamTaggerError("a photo without image tokens cannot be scored: analyse it again")
    return photos.tokens


def _cut(tokens: ImageTokens, size: int) -> Iterator[ImageTokens]:
    for start in range(0, len(tokens.values), size):
        part = slice(start, start + size)
        yield ImageTokens(tokens.values[part], tokens.scales[part])


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _numpy(values: Tensor) -> Floats:
    return values.float().cpu().numpy()
