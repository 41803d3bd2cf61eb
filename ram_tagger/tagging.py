"""What `ram-tagger tag` does: open a model one way or another, tag pictures one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from photoindex.concept_file import read_concepts
from photoindex.tagger import Concept, ImageTokens, LabelEmbeddings, StoredPhoto, Tag
from ram_tagger.convert import convert
from ram_tagger.errors import RamTaggerError
from ram_tagger.predict import Prediction, RamTagger


def open_tagger(
    model_dir: Path | None, weights: Path | None, device: str, precision: str
) -> RamTagger:
    """A tagger from a model folder, or straight from published weights (converted on the way)."""
    if weights is not None:
        with TemporaryDirectory(prefix="ram-tagger-") as folder:
            convert(weights, Path(folder), weights.stem)
            return RamTagger.load(Path(folder), device, precision)
    if model_dir is None:
        raise RamTaggerError("no model: give --model-dir or --weights")
    return RamTagger.load(model_dir, device, precision)


def tag_pictures(
    tagger: RamTagger,
    paths: Sequence[Path],
    concept_file: Path | None = None,
    threshold: float | None = None,
) -> Iterator[tuple[Path, tuple[Tag, ...] | RamTaggerError]]:
    """Each path with its tags, or with why it could not be read; one bad picture ends nothing.

    concept_file: tag by these concepts instead of the vocabulary. Raises ConceptError.
    """
    concepts = read_concepts(concept_file) if concept_file else []
    labels = tagger.embed_concepts(concepts) if concepts else None
    for path in paths:
        try:
            prediction = next(tagger.predict([path]))
        except RamTaggerError as error:
            yield path, error
            continue
        if labels is None:
            yield path, tagger.tags(prediction, threshold)
        else:
            yield path, concept_tags(tagger, concepts, labels, prediction, threshold)


def concept_tags(
    tagger: RamTagger,
    concepts: Sequence[Concept],
    labels: LabelEmbeddings,
    prediction: Prediction,
    threshold: float | None = None,
) -> tuple[Tag, ...]:
    """The concepts that a predicted picture shows, most probable first."""
    stored = StoredPhoto(prediction.embedding, ImageTokens.quantise(prediction.tokens))
    probabilities = tagger.score(labels, [stored])[0]
    tags = [
        Tag(c.name, c.name_zh, float(p), c.threshold if threshold is None else threshold)
        for c, p in zip(concepts, probabilities, strict=True)
    ]
    seen = [tag for tag in tags if tag.probability > tag.threshold]
    return tuple(sorted(seen, key=lambda tag: -np.float32(tag.probability)))
