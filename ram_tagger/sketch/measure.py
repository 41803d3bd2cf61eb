"""Measure a stored model on the trial: `python -m ram_tagger.sketch.measure`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from ram_tagger.evaluation.metrics import (
    mean_average_precision,
    precision_recall,
    recall_at,
)
from ram_tagger.labels import LabelBank
from ram_tagger.predict import RamTagger
from ram_tagger.sketch.trial import QUERIED, Trial, make_trial, read_trial, write_trial

MODEL = Path(__file__).with_name("model")
RERANKED = 100
"""How many of CLIP's best scenes the decoder puts in a new order."""
CONCEPT_THRESHOLD = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Figures:
    """The measured result; everything between 0 and 1."""

    closed_set: float  # mean average precision over all tags
    precision: float  # mean over tags, at their thresholds
    recall: float
    held_out_decoder: float  # mean average precision over the held-out concepts
    held_out_clip: float
    held_out_precision: float  # of the decoder at the default threshold of concepts
    held_out_recall: float
    text_clip: float  # recall@5 of texts about two drawings
    text_decoder: float

    def __str__(self) -> str:
        rows = (
            ("all tags, mean average precision", self.closed_set),
            ("all tags at their thresholds, precision", self.precision),
            ("all tags at their thresholds, recall", self.recall),
            ("held-out concepts by the decoder, mean average precision", self.held_out_decoder),
            ("held-out concepts by CLIP similarity, mean average precision", self.held_out_clip),
            (f"held-out concepts at {CONCEPT_THRESHOLD}, precision", self.held_out_precision),
            (f"held-out concepts at {CONCEPT_THRESHOLD}, recall", self.held_out_recall),
            ("texts about two things by CLIP, recall@5", self.text_clip),
            ("texts about two things re-ranked by the decoder, recall@5", self.text_decoder),
        )
        lines = [f"| {name:<62} | {value:.3f} |" for name, value in rows]
        return "\n".join([f"| {'measured':<62} | value |", f"|{'-' * 64}|{'-' * 7}|", *lines])


@torch.inference_mode()
def measure(tagger: RamTagger, trial: Trial, pictures: Sequence[Image.Image]) -> Figures:
    """Run the trial."""
    predictions = list(tagger.predict(pictures))
    tokens = torch.from_numpy(np.stack([p.tokens for p in predictions]))
    embeddings = np.stack([p.embedding for p in predictions])
    truth = np.array([[name in tags for name in tagger.labels.names] for tags in trial.tags])
    probabilities = np.stack([p.probabilities for p in predictions])
    at = precision_recall(probabilities, truth, tagger.labels.thresholds)

    held_truth = np.array([[name in names for name in trial.concepts] for names in trial.shown])
    by_decoder, by_clip = _asked(tagger, tokens, embeddings, list(trial.concepts.values()))
    held = precision_recall(by_decoder, held_truth, CONCEPT_THRESHOLD)

    texts = [(query.text,) for query in trial.queries]
    asked = np.array([[i in q.scenes for q in trial.queries] for i in range(QUERIED)])
    similar, likely = _text_scores(tagger, tokens[:QUERIED], embeddings[:QUERIED], texts)
    return Figures(
        mean_average_precision(probabilities, truth), at.precision, at.recall,
        mean_average_precision(by_decoder, held_truth),
        mean_average_precision(by_clip, held_truth), held.precision, held.recall,
        recall_at(similar, asked, 5), recall_at(likely, asked, 5),
    )  # fmt: skip


def _asked(
    tagger: RamTagger,
    tokens: torch.Tensor,
    embeddings: Floats,
    labels: Sequence[Sequence[str]],
) -> tuple[Floats, Floats]:
    """(pictures, labels) probabilities by the decoder, and similarities by CLIP."""
    rows = tagger.clip.embed_text([text for texts in labels for text in texts])
    bank = LabelBank(rows, torch.tensor([len(texts) for texts in labels]))
    probabilities = tagger.network.score(tokens, bank).sigmoid().numpy()
    means = torch.stack([part.mean(dim=0) for part in rows.split(bank.counts.tolist())])
    return probabilities, embeddings @ F.normalize(means, dim=-1).numpy().T


def _text_scores(
    tagger: RamTagger,
    tokens: torch.Tensor,
    embeddings: Floats,
    texts: Sequence[Sequence[str]],
) -> tuple[Floats, Floats]:
    """Similarities, and probabilities of the best by similarity; -1 for all others."""
    probabilities, similarities = _asked(tagger, tokens, embeddings, texts)
    ranks = (-similarities).argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return similarities, np.where(ranks < RERANKED, probabilities, -1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of figures of a model folder."""
    parser = argparse.ArgumentParser(
        prog="python -m ram_tagger.sketch.measure", description=__doc__
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--read", type=Path, help="a folder that --write filled; needs no fonts")
    parser.add_argument("--write", type=Path, help="also keep the trial in this folder")
    options = parser.parse_args(arguments)
    trial, pictures = read_trial(options.read) if options.read else make_trial()
    if options.write:
        write_trial(options.write, trial, pictures)
    figures = measure(RamTagger.load(options.model, device="cpu"), trial, pictures)
    sys.stdout.write(f"{figures}\n")


if __name__ == "__main__":
    main()
