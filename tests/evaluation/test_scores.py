"""Scoring a benchmark, and keeping what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from photoindex.tagger import Concept
from ram_tagger.errors import RamTaggerError
from ram_tagger.evaluation.benchmark import Benchmark, find_benchmark
from ram_tagger.evaluation.scores import Scores, check_scores, score_benchmark, vocabulary_rows
from ram_tagger.predict import RamTagger


@pytest.fixture(scope="module")
def closed(common: Path) -> Benchmark:
    return find_benchmark(common).read(open_set=False)


@pytest.fixture(scope="module")
def scored(tagger: RamTagger, closed: Benchmark) -> Scores:
    return score_benchmark(tagger, closed)


def some(pictures: Sequence, tags: Sequence[str], concepts: Sequence[Concept] = ()) -> Benchmark:
    called = tuple(f"picture {number}" for number in range(len(pictures)))
    truth = np.ones((len(pictures), len(tags)), dtype=np.bool_)
    return Benchmark("some", tuple(pictures), called, tuple(tags), truth, tuple(concepts))


def same(a: Scores, b: Scores) -> bool:
    arrays = ("values", "truth", "thresholds")
    alike = all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in arrays)
    names = ("benchmark", "called", "tags", "model_id", "by", "unreadable", "descriptions")
    return alike and all(getattr(a, n) == getattr(b, n) for n in names)


def test_a_closed_set_gets_the_probabilities_that_tagging_gives(
    tagger: RamTagger, closed: Benchmark, scored: Scores
):
    predicted = np.stack([p.probabilities for p in tagger.predict(closed.pictures)])
    assert np.allclose(scored.values[:, :-1], predicted, atol=1e-5)
    cat = closed.tags.index("cat")
    assert np.array_equal(scored.values[:, cat], scored.values[:, -1])  # listed twice
    assert scored.thresholds.tolist()[:-1] == list(tagger.labels.thresholds)
    assert (scored.model_id, scored.by, scored.unreadable) == (
        tagger.config.model_id, "decoder", (),
    )  # fmt: skip
    assert np.array_equal(scored.truth, closed.truth)


def test_an_open_set_gets_the_probabilities_of_its_concepts(tagger: RamTagger, trial):
    concepts = [Concept("a zebra", ("a zebra with stripes",), 0.7), Concept("a fox")]
    listed = [*concepts, concepts[0]]
    found = score_benchmark(tagger, some(trial[1][:5], "zebra fox zebra".split(), listed))
    assert np.array_equal(found.values[:, 0], found.values[:, 2])
    assert found.thresholds.tolist() == [0.7, 0.5, 0.7]
    for column, concept in enumerate(concepts):
        alone = score_benchmark(tagger, some(trial[1][:5], ["x"], [concept]))
        assert np.allclose(alone.values[:, 0], found.values[:, column], atol=1e-5)


def test_by_clip_is_the_cosine_of_picture_and_mean_description(tagger: RamTagger, trial):
    texts = ("a zebra", "an animal with black stripes")
    benchmark = some(trial[1][:5], ["zebra"], [Concept("zebra", texts)])
    found = score_benchmark(tagger, benchmark, by="clip")
    mean = tagger.embed_text(texts).mean(axis=0)
    pictures = np.stack([p.embedding for p in tagger.predict(trial[1][:5])])
    expected = pictures @ mean / np.linalg.norm(mean)
    assert np.allclose(found.values[:, 0], expected, atol=1e-5)
    assert np.isnan(found.thresholds).all()


def test_a_tag_that_is_listed_twice_takes_the_vocabulary_row_of_its_turn():
    vocabulary = ["cat", "crane", "dog", "crane"]
    assert vocabulary_rows(["crane", "dog", "crane", "dog", "crane"], vocabulary) == [1, 2, 3, 2, 1]
    with pytest.raises(RamTaggerError, match=r'"owl", "bat" \(2 of 3 tags\): give --descriptions'):
        vocabulary_rows(["owl", "dog", "bat", "owl"], vocabulary)


def test_pictures_that_cannot_be_read_are_left_out_and_named(
    tagger: RamTagger, trial, tmp_path: Path
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    mixed = [bad, trial[1][0], tmp_path / "lost", trial[1][1], tmp_path]
    reports: list[tuple[int, int | None]] = []
    found = score_benchmark(
        tagger, some(mixed, ["cat"]), lambda _, done, total: reports.append((done, total))
    )
    alone = score_benchmark(tagger, some(trial[1][:2], ["cat"]))
    assert found.called == ("picture 1", "picture 3")
    assert found.unreadable == ("picture 0", "picture 2", "picture 4")
    assert np.allclose(found.values, alone.values, atol=1e-6)
    assert found.truth.shape == (2, 1)
    assert reports[0] == (0, 5) and reports[-1][0] == 5
    with pytest.raises(RamTaggerError, match=r"none of 2 pictures .*is --images right\?"):
        score_benchmark(tagger, some([bad, tmp_path / "lost"], ["cat"]))


def test_more_pictures_than_are_read_ahead_keep_their_order(tagger: RamTagger, trial):
    many = trial[1][:37]  # no multiple of a batch
    found = score_benchmark(tagger, some(many, ["cat", "car"]))
    backwards = score_benchmark(tagger, some(many[::-1], ["cat", "car"]))
    assert np.allclose(found.values, backwards.values[::-1], atol=1e-5)


def test_a_network_in_training_is_scored_as_in_use_and_stays_in_training(
    tagger: RamTagger, closed: Benchmark, scored: Scores
):
    network = tagger.network
    frozen = network.encoder.backbone
    network.train()
    frozen.eval()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        found = score_benchmark(tagger, closed)
        assert network.training and network.decoder.training
        assert not any(module.training for module in frozen.modules())
        assert all(torch.equal(before[name], value) for name, value in network.named_buffers())
    finally:
        network.eval()
    assert np.allclose(found.values, scored.values, atol=1e-6)


def test_scores_are_kept_exactly(scored: Scores, tmp_path: Path):
    odd = replace(
        scored,
        benchmark="名",
        called=(*scored.called[:-1], 'a "name", with 猫'),
        unreadable=("lost",),
        thresholds=np.full_like(scored.thresholds, np.nan),
    )
    for number, scores in enumerate((scored, odd)):
        path = tmp_path / f"{number}"  # a suffix is not needed, and none is added
        scores.save(path)
        assert same(Scores.load(path), scores)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}  # nothing is left aside


def test_a_file_that_holds_no_scores_is_refused(scored: Scores, tmp_path: Path):
    path = tmp_path / "scores.npz"
    with pytest.raises(RamTaggerError, match="no scores at"):
        Scores.load(path)
    scored.save(path)
    whole = path.read_bytes()
    for wrong in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(wrong)
        with pytest.raises(RamTaggerError, match="no scores file that can be read"):
            Scores.load(path)
    np.savez(path, values=np.zeros((2, 2)))
    with pytest.raises(RamTaggerError, match="no scores file"):
        Scores.load(path)
    replace(scored, values=scored.values[:, 1:]).save(path)
    with pytest.raises(RamTaggerError, match="no scores file"):
        Scores.load(path)
    with pytest.raises(RamTaggerError, match="cannot be written"):
        scored.save(tmp_path / "no" / "scores.npz")


def test_scores_of_another_benchmark_are_told(scored: Scores, closed: Benchmark, tmp_path: Path):
    path = tmp_path / "scores.npz"
    check_scores(path, scored, closed)
    truth = closed.truth.copy()
    truth[0, 0] ^= True
    concepts = tuple(Concept(tag) for tag in closed.tags)
    for other, what in (
        (replace(closed, tags=closed.tags[::-1]), "another tag list"),
        (replace(closed, called=closed.called[::-1]), "other pictures"),
        (replace(closed, truth=truth), "other annotations"),
        (replace(closed, concepts=concepts), "closed set"),
    ):
        with pytest.raises(RamTaggerError, match=what):
            check_scores(path, scored, other)
