"""The figures of scores are those of the published evaluation; tuned thresholds are the best."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import write_lines

from ram_tagger.errors import CheckpointError, RamTaggerError
from ram_tagger.evaluation.benchmark import read_benchmark
from ram_tagger.evaluation.curves import mean_curve, overall_curve
from ram_tagger.evaluation.metrics import average_precisions
from ram_tagger.evaluation.report import Report
from ram_tagger.evaluation.scores import Scores
from ram_tagger.evaluation.thresholds import (
    first_columns,
    read_thresholds,
    set_thresholds,
    tune_thresholds,
    write_thresholds,
)
from ram_tagger.model_folder import load_labels


def made(values, truth, tags=None, thresholds=None, by="decoder") -> Scores:
    values = np.asarray(values, dtype=np.float32)
    count, width = values.shape
    return Scores(
        benchmark="made",
        values=values,
        called=tuple(f"{number}" for number in range(count)),
        tags=tuple(tags or (f"t{column}" for column in range(width))),
        truth=np.asarray(truth, dtype=np.bool_),
        thresholds=np.full(width, 0.5) if thresholds is None else np.asarray(thresholds),
        model_id="none",
        by=by,
    )


def test_the_published_figures_from_real_files(published, tmp_path: Path):
    """Scores file, tag list, annotations and thresholds, all as files; twelve tags, two twice."""
    rows = range(len(published["map_scores"]))
    lines = [f"{row},{tags}" for row, tags in zip(rows, published["map_truth"], strict=True)]
    benchmark = read_benchmark(
        write_lines(tmp_path / "random_taglist.txt", published["map_taglist"]),
        write_lines(tmp_path / "random_annots.txt", lines),
        tmp_path,
    )
    limits = write_lines(tmp_path / "limits.txt", [f"{published['pr_threshold']}"] * 14)
    thresholds = read_thresholds(limits, benchmark.tags, np.full(14, np.nan))
    scores = replace(
        made(published["map_scores"], benchmark.truth, benchmark.tags), thresholds=thresholds
    )
    scores.save(tmp_path / "scores.npz")

    report = Report.of(Scores.load(tmp_path / "scores.npz"))
    assert report.mean_average_precision == pytest.approx(float(published["mAP"]), abs=1e-6)
    seen: Counter[str] = Counter()
    averages = []
    places = {tag.tag: tag.average_precisions for tag in report.tags}
    for tag in published["map_taglist"]:
        averages.append(places[tag][seen[tag]])
        seen[tag] += 1
    assert np.allclose(averages, published["APs"], atol=1e-6)
    assert [tag.tag for tag in report.tags] == list(dict.fromkeys(published["map_taglist"]))
    precisions = [tag.at.precision for tag in report.tags]
    assert np.allclose(precisions, published["precisions"], atol=1e-6)
    assert np.allclose([tag.at.recall for tag in report.tags], published["recalls"], atol=1e-6)
    assert report.mean.precision == pytest.approx(float(published["CP"]), abs=1e-6)
    assert report.mean.recall == pytest.approx(float(published["CR"]), abs=1e-6)


def test_overall_figures_count_pairs_and_mean_figures_count_tags():
    values = [[0.9, 0.9], [0.9, 0.1], [0.9, 0.1], [0.1, 0.1]]
    truth = [[1, 1], [1, 0], [0, 1], [0, 0]]
    report = Report.of(made(values, truth))
    assert [tag.true for tag in report.tags] == [2, 2]
    assert [tag.given for tag in report.tags] == [3, 1]
    assert (report.mean.precision, report.mean.recall) == pytest.approx(((2 / 3 + 1) / 2, 0.75))
    assert report.mean.f1 == pytest.approx((0.8 + 2 / 3) / 2)
    overall = report.overall
    assert (overall.precision, overall.recall, overall.f1) == pytest.approx((0.75, 0.75, 0.75))
    assert [tag.tag for tag in report.weakest] == ["t1", "t0"]


def test_a_tag_that_is_never_true_counts_as_0_and_is_told():
    report = Report.of(made([[0.9, 0.8], [0.1, 0.2]], [[1, 0], [0, 0]]))
    assert report.mean_average_precision == 0.5
    assert report.never_true == 1
    assert [tag.tag for tag in report.weakest] == ["t0"]


def test_without_thresholds_there_is_only_the_ranking():
    scores = made([[0.9], [0.1]], [[1], [0]], thresholds=[np.nan], by="clip")
    report = Report.of(scores)
    assert (report.mean, report.overall, report.tags[0].at) == (None, None, None)
    assert report.mean_average_precision == 1
    table = report.to_json()["tags"][0]
    assert table["precision"] is table["threshold"] is table["given"] is None
    assert Report.of(scores, [0.5]).mean.precision == 1
    with pytest.raises(RamTaggerError, match="tune them on scores --by decoder"):
        tune_thresholds(scores)


def test_the_keys_of_a_report_stay():
    table = Report.of(made([[0.9]], [[1]])).to_json()
    assert set(table) == {
        "benchmark", "model", "by", "open_set", "pictures", "unreadable", "never_true",
        "mean_average_precision", "mean", "overall", "tags",
    }  # fmt: skip
    assert set(table["tags"][0]) == {
        "tag", "true", "given", "average_precision", "average_precisions", "precision", "recall",
        "f1", "threshold",
    }  # fmt: skip
    assert set(table["mean"]) == set(table["overall"]) == {"precision", "recall", "f1"}


# Thresholds


@given(st.integers(0, 2**32 - 1))
def test_no_tag_is_worse_at_tuned_thresholds(seed: int):
    """Also among figures as near to each other as float32 has them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (30, 5)) / 8
    near = np.float32(0.5) + rng.integers(0, 4, 30) * np.float32(2**-24)
    values[:, 0] = near
    truth = rng.random((30, 5)) < rng.uniform(0, 0.6, 5)
    truth[:, 4] = truth[:, 3]
    scores = made(values, truth, ["a", "b", "c", "d", "d"], rng.random(5).round(2))
    tuned = tune_thresholds(scores)
    before, after = Report.of(scores), Report.of(scores, tuned)
    for old, new in zip(before.tags, after.tags, strict=True):
        assert new.at.f1 >= old.at.f1
        assert 0 <= new.threshold <= 1
        if not old.true:
            assert new.threshold == old.threshold
    assert tuned[3] == tuned[4]  # one threshold for a tag that is listed twice


def test_tuned_thresholds_are_short_where_that_is_enough():
    scores = made([[0.91234], [0.60001], [0.3]], [[1], [1], [0]])
    assert tune_thresholds(scores).tolist() == [0.45]
    narrow = made([[0.12345678], [0.12345671]], [[1], [0]])
    (limit,) = tune_thresholds(narrow)
    assert narrow.values[1, 0] <= np.float32(limit) < narrow.values[0, 0]


def test_what_is_written_is_read(tmp_path: Path):
    path = tmp_path / "tuned.txt"
    tags = ("cat", "red car", "猫", "cat")
    write_thresholds(path, tags, [0.25, 0.123456789, 1.0, 0.25])
    assert path.read_text(encoding="utf-8") == "0.25\tcat\n0.123456789\tred car\n1.0\t猫\n"
    found = read_thresholds(path, ("猫", "cat", "dog", "red car", "cat"), [0, 0, 0.6, 0, 0])
    assert found.tolist() == [1.0, 0.25, 0.6, 0.123456789, 0.25]
    with pytest.raises(RamTaggerError, match="is there already: name a new file"):
        write_thresholds(path, tags, [0, 0, 0, 0])


def test_the_published_form_is_one_number_a_line(tmp_path: Path):
    path = write_lines(tmp_path / "thresholds.txt", ["0.65", "0.8", "1"])
    assert read_thresholds(path, ("a", "b", "c"), [0, 0, 0]).tolist() == [0.65, 0.8, 1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0.5", "0.5"], "has 2 thresholds for 3 tags"),
        (["0.5", "0.5", "1.5"], "line 3 is no threshold between 0 and 1"),
        (["0.5", "nan", "0.5"], "line 2 is no threshold"),
        (["0.5", "cat", "0.5"], "line 2 is no threshold"),
        (["0.5\ta", "-1\tb"], "line 2 is no threshold"),
        (["0.5\ta", "0.5\towl"], 'line 2: no tag "owl"'),
        (["0.5\ta", "0.6\ta"], 'line 2: "a" stands there twice'),
        (["0.5\ta", "0.6"], "line 2: write threshold<TAB>tag"),
        (["0.5\ta"], 'names no threshold for "c"'),
    ],
)
def test_a_mistake_in_a_threshold_file_is_named(tmp_path: Path, lines: list[str], message: str):
    path = write_lines(tmp_path / "thresholds.txt", lines)
    with pytest.raises(RamTaggerError, match=message):
        read_thresholds(path, ("a", "b", "c"), [0.5, 0.5, np.nan])


def test_thresholds_are_set_in_a_model_folder(model_folder: Path, tmp_path: Path):
    before = load_labels(model_folder)
    config = (model_folder / "config.json").read_bytes()
    new = write_lines(tmp_path / "new.txt", ["0.123\tdog", f"{before.thresholds[0]}\tcat"])
    assert set_thresholds(model_folder, new) == {"dog": (before.thresholds[1], 0.123)}
    after = load_labels(model_folder)
    assert after.thresholds == (before.thresholds[0], 0.123, *before.thresholds[2:])
    assert (model_folder / "config.json").read_bytes() == config  # the model's id stays

    wrong = write_lines(tmp_path / "wrong.txt", ["0.9\tcat", "0.5\tno such tag"])
    with pytest.raises(RamTaggerError, match="no such tag"):
        set_thresholds(model_folder, wrong)
    assert load_labels(model_folder) == after
    with pytest.raises(CheckpointError, match="is no model folder"):
        set_thresholds(tmp_path, new)


# Curves


@given(st.integers(0, 2**32 - 1))
def test_the_curves_agree_with_the_figures(seed: int):
    rng = np.random.default_rng(seed)
    values = rng.permutation(200).reshape(50, 4) / 200
    truth = rng.random((50, 4)) < 0.3
    truth[0] = True
    scores = made(values, truth)
    curve = overall_curve(values, truth)
    assert (np.diff(curve.recalls) > 0).all()
    assert curve.recalls[-1] == 1
    limit = float(rng.choice(values[truth]))
    at = Report.of(scores, np.full(4, limit - 1 / 400)).overall
    point = np.argmin(abs(curve.recalls - at.recall))
    assert curve.recalls[point] == pytest.approx(at.recall)
    assert curve.precisions[point] == pytest.approx(at.precision)
    mean = mean_curve(values, truth)
    assert (np.diff(mean.precisions) <= 1e-12).all()
    assert mean.precisions.mean() >= average_precisions(values, truth).mean() - 0.02


def test_equal_scores_are_one_point():
    curve = overall_curve([[0.5], [0.5], [0.2]], [[1], [0], [1]])
    assert curve.recalls.tolist() == [0.5, 1]
    assert curve.precisions.tolist() == [0.5, pytest.approx(2 / 3)]


def test_nothing_true_is_no_curve():
    for draw in (overall_curve, mean_curve):
        assert len(draw([[0.5]], [[0]]).recalls) == 0


def test_a_tag_listed_twice_counts_once():
    assert first_columns(("a", "b", "a", "c", "b")) == [0, 1, 3]
