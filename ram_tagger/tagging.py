"""What `ram-tagger tag` does: open a model one way or another, then tag picture after picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL.Image import Image

from photoindex.tagger import Concept, ImageTokens, LabelEmbeddings, StoredPhoto, StoredPhotos, Tag
from ram_tagger.clip import Clip
from ram_tagger.convert import read_published
from ram_tagger.errors import UnreadablePicture
from ram_tagger.predict import Prediction, RamTagger, batched, open_picture


def open_tagger(
    model_dir: Path, weights: Path | None = None, device: str = "auto", precision: str = "auto"
) -> RamTagger:
    """A tagger from a model folder, or straight from published weights where they are given.

    Raises CheckpointError, RamTaggerError.
    """
    if weights is None:
        return RamTagger.load(model_dir, device, precision)
    model = read_published(weights, weights.stem)
    clip = Clip(model.config.clip, model.clip)
    return RamTagger(model.config, model.network, clip, model.labels, model.bank, device, precision)


def tag_pictures(
    tagger: RamTagger,
    paths: Sequence[Path],
    concepts: Sequence[Concept] = (),
    threshold: float | None = None,
) -> Iterator[tuple[Path, tuple[Tag, ...] | UnreadablePicture]]:
    """Each path with its tags, or with why it could not be read; one bad picture ends nothing.

    concepts: tag by these instead of the vocabulary; threshold: one for all instead of their own.
    """
    labels = tagger.embed_concepts(concepts) if concepts else None
    for batch in batched(paths, tagger.batch_size):
        opened = [_open(path) for path in batch]
        predictions = tagger.predict(p for p in opened if not isinstance(p, UnreadablePicture))
        for path, picture in zip(batch, opened, strict=True):
            if isinstance(picture, UnreadablePicture):
                yield path, picture
            elif labels is None:
                yield path, tagger.tags(next(predictions), threshold)
            else:
                yield path, concept_tags(tagger, concepts, labels, next(predictions), threshold)


def concept_tags(
    tagger: RamTagger,
    concepts: Sequence[Concept],
    labels: LabelEmbeddings,
    prediction: Prediction,
    threshold: float | None = None,
) -> tuple[Tag, ...]:
    """The concepts that a predicted picture shows, most probable first.

    Scored from tokens as a library stores them, so that a library gives the same figures.
    """
    stored = StoredPhoto(prediction.embedding, ImageTokens.quantise(prediction.tokens))
    probabilities = tagger.score(labels, [StoredPhotos.of([stored])])[0]
    tags = [
        Tag(concept.name, concept.name_zh, float(probability), concept.threshold)
        for concept, probability in zip(concepts, probabilities, strict=True)
    ]
    seen = [t for t in tags if t.probability > (t.threshold if threshold is None else threshold)]
    return tuple(sorted(seen, key=lambda tag: -tag.probability))


def _open(path: Path) -> Image | UnreadablePicture:
    try:
        return open_picture(path)
    except UnreadablePicture as error:
        return error
