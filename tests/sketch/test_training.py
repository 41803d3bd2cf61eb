"""The whole recipe of the bundled model runs, a few steps of each stage, and its model loads."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ram_tagger.predict import RamTagger
from ram_tagger.sketch import ablation
from ram_tagger.sketch.train import main
from ram_tagger.sketch.vocabulary import tags
from ram_tagger.training.recipe import read_recipe


def test_a_few_steps_make_a_model_folder(fonts, tmp_path, capsys):
    main(["--out", str(tmp_path / "model"), "--pace", "0.002", "--threads", "1"])
    assert "written to" in capsys.readouterr().err
    tagger = RamTagger.load(tmp_path / "model", device="cpu")
    (prediction,) = tagger.predict([Image.new("RGB", (200, 100))])
    assert prediction.probabilities.shape == (len(tags()),)
    assert np.isclose(np.linalg.norm(prediction.embedding), 1, atol=1e-3)
    assert 0.2 <= min(tagger.labels.thresholds) <= max(tagger.labels.thresholds) <= 0.95


def test_each_variant_of_the_ablation_differs_from_the_recipe_in_one_part():
    recipe = read_recipe("sketch")
    changes = {
        name: {
            f"{section}.{entry}": value
            for section, entries in variant.to_json().items()
            if isinstance(entries, dict)
            for entry, value in entries.items()
            if value != recipe.to_json()[section][entry]
        }
        for name, variant in ablation.variants(recipe).items()
    }
    assert changes == {
        "all three losses": {},
        "without alignment": {"loss.alignment": 0.0},
        "without distillation": {"loss.distillation": 0.0},
        "one description a tag": {"labels.descriptions": 1},
    }


def test_a_variant_of_the_ablation_is_trained_and_measured(fonts, tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--seeds", "0", "--steps", "2", "--threads", "1"]
    ablation.main(arguments)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == list(
        ablation.variants(read_recipe("sketch"))
    )
    for row in rows:
        figures = [float(cell.split()[0]) for cell in row.split("|")[2:-1]]
        assert all(0 < figure < 1 for figure in figures)
