"""The whole recipe runs, a few steps of each stage, and leaves a model folder that loads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ram_tagger.predict import RamTagger
from ram_tagger.sketch.train import main
from ram_tagger.sketch.vocabulary import tags
from ram_tagger.training.loop import Progress, Schedule, train


def test_a_few_steps_make_a_model_folder(fonts, tmp_path, capsys):
    main(["--out", str(tmp_path / "model"), "--pace", "0.002", "--threads", "1"])
    assert "written to" in capsys.readouterr().err
    tagger = RamTagger.load(tmp_path / "model", device="cpu")
    (prediction,) = tagger.predict([Image.new("RGB", (200, 100))])
    assert prediction.probabilities.shape == (len(tags()),)
    assert np.isclose(np.linalg.norm(prediction.embedding), 1, atol=1e-3)


def test_the_loop_learns_reports_and_is_repeatable():
    def run() -> tuple[nn.Linear, list[Progress]]:
        torch.manual_seed(3)
        line, reports = nn.Linear(2, 1), []
        inputs = torch.randn(256, 2)

        def losses_of(x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"error": (line(x).squeeze(1) - x @ torch.tensor([2.0, -1.0])).square().mean()}

        batches = (inputs for _ in range(1000))
        train(line, batches, losses_of, Schedule(120, rate=0.1, warm_up=10), reports.append)
        return line, reports

    (line, reports), (again, _) = run(), run()
    assert line.weight.detach().flatten().tolist() == pytest.approx([2, -1], abs=0.2)
    assert torch.equal(line.weight, again.weight)
    assert [r.step for r in reports] == [50, 100, 120]
    assert reports[-1].losses["error"] < reports[0].losses["error"]
    assert reports[-1].seconds_left == 0
    assert "120/120" in str(reports[-1])
