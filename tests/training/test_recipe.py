"""Recipes: the shipped ones, one's own, changes from the command line, and their learning rates."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import timm
from hypothesis import given, settings
from hypothesis import strategies as st

from ram_tagger.errors import RecipeError
from ram_tagger.training.recipe import (
    Augmentation,
    Beginning,
    Data,
    Evaluation,
    Labels,
    Loss,
    Network,
    Output,
    Recipe,
    Steps,
    read_recipe,
    shipped_recipes,
    with_clip_cache,
)

LEAST = 'name = "mine"\n[data]\nannotations = ["coco.json"]\n[schedule]\nsteps = 10\n'


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(LEAST, encoding="utf-8")
    return path


# Shipped ones


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_whole(name: str):
    recipe = read_recipe(name)
    assert recipe.schedule.schedule(10_000, False).steps > 0
    assert recipe.schedule.pictures % recipe.schedule.at_once == 0
    assert recipe.network.backbone in timm.list_models()
    assert recipe.beginning.model or recipe.clip
    wanted = recipe.output.thresholds_from
    assert recipe.data.scenes or wanted in ("", *(e.name for e in recipe.evaluations))


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_begins_with_what_it_is_and_how_it_is_run(name: str):
    text = shipped_recipes()[name]
    assert text.startswith("# ") and f"train {name} --out" in text.partition("\n\n")[0]


def test_the_bundled_model_has_its_recipe():
    assert read_recipe("sketch").data.scenes


def test_no_recipe_of_that_name_says_which_there_are():
    with pytest.raises(RecipeError, match=r"no recipe skech: name a TOML file, or one of .*sketch"):
        read_recipe("skech")


# One's own


def test_what_is_not_said_has_its_default(mine):
    recipe = read_recipe(str(mine))
    assert recipe == Recipe(
        "mine", data=Data(annotations=(Path("coco.json"),)), schedule=Steps(steps=10)
    )


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("stepz = 5", r"unknown entry schedule\.stepz: see docs/reference/recipe\.md"),
        ("[lables]\nbank = 'a'", "unknown entry lables: see"),
        ("[output]\nsave = 3", r"unknown entry output\.save: see"),
        ('rate = "fast"', r"schedule\.rate: should be a valid number"),
        ("pictures = 1.5", r"schedule\.pictures: should be a valid integer"),
        ("decay = 'linear'", r"schedule\.decay: should be 'cosine' or 'power'"),
        ("precision = 'fp16'", r"schedule\.precision: should be 'auto', 'fp32' or 'bf16'"),
        ("[augmentation]\nflip = 'maybe'", r"augmentation\.flip: should be a valid boolean"),
        ("[network]\nmean = [0.5, 0.5]", r"network\.mean"),
        ("[[evaluations]]\nname = 'a'\nannotations = 'b'", r"evaluations\.0\.tag_list: "),
        ("[labels]\nbank = 7", r"labels\.bank: "),
        ("pictures = 0", r"schedule\.pictures: should be greater than 0"),
        ("at_once = 0", r"schedule\.at_once: should be greater than 0"),
        ("rate = 0.0", r"schedule\.rate: should be greater than 0"),
        ("warm_up = -1", r"schedule\.warm_up: should be greater than or equal to 0"),
        ("epochs = -1.0", r"schedule\.epochs: should be greater than or equal to 0"),
        ("[loss]\nkeeping = -1.0", r"loss\.keeping: should be greater than or equal to 0"),
        ("epochs = 2.0", "schedule: give steps or epochs, not both"),
        ("[loss]\ntagging = -1.0", r"loss\.tagging: should be greater than or equal to 0"),
        ("[loss]\ntagging = 0\ndistillation = 0\nalignment = 0", "loss: all weights are 0"),
        ("[augmentation]\nsmallest_crop = 0", r"augmentation\.smallest_crop: give a part"),
        ("[augmentation]\nsmallest_crop = 1.1", r"augmentation\.smallest_crop: give a part"),
        ("[augmentation]\nstrength = 31", r"augmentation\.strength: give 0 to 30"),
    ],
)
def test_what_is_wrong_is_named(mine, addition: str, message: str):
    mine.write_text(f"{LEAST}{addition}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=f"^{mine}: {message}"):
        read_recipe(str(mine))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nscenes = true\n", "name: "),
        ('name = "a"\n', "data: give annotations, or scenes = true"),
        ('name = "a"\ndata = 5\n', "data: "),
        ('name = "a"\n[data]\nscenes = true\nannotations = ["b.json"]\n', "data: give annotations"),
        (
            'name = "a"\n[data]\nscenes = true\n[labels]\nbank = "b"\n',
            r"data\.scenes: drawn scenes",
        ),
        ('name = "a"\n[data]\nscenes = true\n[schedule]\nepochs = 1\n', r"schedule\.epochs: drawn"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_named(mine, text: str, message: str):
    mine.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=f"^{mine}: {message}"):
        read_recipe(str(mine))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'name = "a', "is not TOML: "), (b"name = a", "is not TOML: "), (b"\xff", "cannot be read")],
)
def test_a_file_that_is_no_toml_is_named(mine, content: bytes, message: str):
    mine.write_bytes(content)
    with pytest.raises(RecipeError, match=f"^{mine} {message}"):
        read_recipe(str(mine))


@pytest.mark.parametrize("text", ["{", "[]", 'name = "a"'])
def test_a_file_that_is_no_json_is_named(tmp_path, text: str):
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=f"^{path} is not JSON: "):
        read_recipe(str(path), ["seed=1"])


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match=f"no recipe {tmp_path}"):
        read_recipe(str(tmp_path))


@pytest.mark.parametrize(("epochs", "pictures"), [(0.0, 100), (1.0, 0), (0.01, 64)])
def test_a_recipe_without_any_step_to_take_is_refused(epochs: float, pictures: int):
    with pytest.raises(RecipeError, match=r"no steps to take: set steps or epochs"):
        Steps(epochs=epochs).schedule(pictures, False)


# Changes


@pytest.mark.parametrize(
    ("change", "section", "entry", "value"),
    [
        ("schedule.steps=100", "schedule", "steps", 100),
        ("schedule.rate = 5e-6", "schedule", "rate", 5e-6),
        ("schedule.decay=power", "schedule", "decay", "power"),
        ("schedule.decay='power'", "schedule", "decay", "power"),
        ("augmentation.flip=true", "augmentation", "flip", True),
        ("data.images=/photos/of 2024/a=b", "data", "images", "/photos/of 2024/a=b"),
        ('data.annotations=["a.json", "b.json"]', "data", "annotations", ["a.json", "b.json"]),
        ("beginning.model=runs/a/model", "beginning", "model", "runs/a/model"),
        ("network.mean=[0.1, 0.2, 0.3]", "network", "mean", [0.1, 0.2, 0.3]),
        ("beginning.backbone=", "beginning", "backbone", ""),
    ],
)
def test_one_entry_is_changed(mine, change: str, section: str, entry: str, value: object):
    changed, before = read_recipe(str(mine), [change]).to_json(), read_recipe(str(mine)).to_json()
    before[section][entry] = value
    assert changed == before


def test_entries_outside_of_sections_are_changed_and_the_last_change_counts(mine):
    recipe = read_recipe(str(mine), ["name=other", "seed=7", "clip=sketch", "seed=8"])
    assert (recipe.name, recipe.seed, recipe.clip) == ("other", 8, "sketch")


def test_a_shipped_recipe_is_changed():
    assert read_recipe("sketch", ["schedule.steps=3"]).schedule.steps == 3
    assert read_recipe("sketch").schedule.steps != 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.steps", "--set schedule.steps: write it as schedule.steps=100"),
        ("=5", "--set =5: write it as"),
        ("schedule.=5", "--set schedule.=5: write it as"),
        ("name.first=a", "--set name.first=a: name is no section"),
        ("schedule.steps.most=1", "steps is no section"),
        ("schedule.steps=many", "schedule.steps: should be a valid integer"),
        ("schedule.stps=5", "unknown entry schedule.stps"),
        ("shedule.steps=5", "unknown entry shedule"),
        ("schedule.epochs=3", "schedule: give steps or epochs, not both"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(mine, change: str, message: str):
    with pytest.raises(RecipeError) as refusal:
        read_recipe(str(mine), [change])
    assert message in str(refusal.value)


def test_a_clip_cache_is_added_unless_one_is_named(mine):
    recipe = read_recipe(str(mine))
    added = with_clip_cache(recipe, Path("cache"))
    assert added.data.clip_cache == Path("cache")
    assert with_clip_cache(added, Path("other")) == added
    with pytest.raises(RecipeError, match="drawn scenes never come again"):
        with_clip_cache(read_recipe("sketch"), Path("cache"))


# As JSON

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
paths = texts.map(Path)
rates = st.floats(0, 1)
recipes = st.builds(
    Recipe,
    name=texts,
    seed=st.integers(0, 2**31),
    clip=texts,
    beginning=st.builds(Beginning, st.none() | paths, texts),
    network=st.builds(
        Network,
        backbone=st.none() | texts,
        image_size=st.none() | st.integers(1, 999),
        dropout=st.none() | rates,
        mean=st.none() | st.tuples(rates, rates, rates),
    ),
    labels=st.builds(Labels, st.none() | paths, annotated=st.none() | paths, trained=st.booleans()),
    data=st.builds(Data, st.lists(paths, min_size=1).map(tuple), paths, clip_cache=paths),
    augmentation=st.builds(Augmentation, st.floats(0.01, 1), st.booleans(), st.integers(0, 4)),
    schedule=st.builds(
        Steps,
        pictures=st.integers(1, 999),
        at_once=st.integers(1, 99),
        steps=st.integers(0, 10**9),
        rate=st.floats(1e-9, 1),
        decay=st.sampled_from(["cosine", "power"]),
        precision=st.sampled_from(["auto", "fp32", "bf16"]),
    ),
    loss=st.builds(Loss, st.floats(0.1, 9), rates, rates, rates, st.booleans(), st.booleans()),
    evaluations=st.lists(st.builds(Evaluation, texts, paths, paths), max_size=2).map(tuple),
    output=st.builds(Output, st.integers(0, 99), half=st.booleans(), thresholds_from=texts),
)


@settings(deadline=None)
@given(recipe=recipes)
def test_a_recipe_survives_json(recipe: Recipe):
    text = json.dumps(recipe.to_json())
    assert Recipe.from_json(json.loads(text), "recipe.json") == recipe


def test_a_recipe_of_a_run_is_read_from_its_file_and_changed(mine, tmp_path):
    recipe = read_recipe(str(mine))
    kept = tmp_path / "recipe.json"
    kept.write_text(json.dumps(recipe.to_json()), encoding="utf-8")
    assert read_recipe(str(kept)) == recipe
    assert read_recipe(str(kept), ["schedule.steps=11"]).schedule.steps == 11


def test_json_holds_every_entry():
    def names(kind: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    table = read_recipe("sketch").to_json()
    assert set(table) == names(Recipe)
    for name, kind in (("network", Network), ("schedule", Steps), ("loss", Loss), ("data", Data)):
        assert set(table[name]) == names(kind)


# The learning rate, as the published training sets it.

PRETRAINING = Steps(
    pictures=10,
    epochs=6.0,
    rate=1e-4,
    warm_up=30,
    first_rate=5e-7,
    least_rate=5e-7,
    decay="power",
    decay_factor=0.9,
    by_epoch=True,
)


@pytest.mark.parametrize("step", range(0, 600, 7))
def test_pretraining_warms_up_linearly_and_loses_a_tenth_an_epoch(step: int):
    schedule = PRETRAINING.schedule(1000, False)  # 100 steps an epoch
    assert schedule.steps == 600
    if step < 30:
        expected = 5e-7 + (1e-4 - 5e-7) * (step + 1) / 30
    else:
        expected = max(5e-7, 1e-4 * 0.9 ** (step // 100))
    assert schedule.rate_at(step) == pytest.approx(expected, rel=1e-12)


def test_pretraining_never_falls_below_the_least_rate():
    schedule = dataclasses.replace(PRETRAINING, epochs=100.0).schedule(1000, False)
    assert schedule.rate_at(schedule.steps - 1) == 5e-7
    assert schedule.rate_at(4900) == pytest.approx(1e-4 * 0.9**49) and 1e-4 * 0.9**50 > 5e-7


@given(
    epochs=st.integers(1, 12),
    each=st.integers(1, 40),
    rate=st.floats(1e-6, 1e-2),
    least=st.floats(0, 1e-6),
    where=st.floats(0, 1, exclude_max=True),
)
def test_fine_tuning_falls_along_a_cosine_epoch_by_epoch(
    epochs: int, each: int, rate: float, least: float, where: float
):
    recipe = Steps(
        pictures=4, epochs=float(epochs), rate=rate, least_rate=least, by_epoch=True, warm_up=0
    )
    schedule = recipe.schedule(4 * each, False)
    step = int(where * schedule.steps)
    epoch = step // each
    assert schedule.steps == epochs * each
    expected = (rate - least) * 0.5 * (1 + math.cos(math.pi * epoch / epochs)) + least
    assert schedule.rate_at(step) == pytest.approx(expected, rel=1e-9)


def test_the_shipped_recipes_of_ram_plus_follow_the_published_rates():
    for name in shipped_recipes():
        schedule = read_recipe(name).schedule
        if name.endswith("-pretrain"):
            shape = (schedule.decay, schedule.rate, schedule.first_rate, schedule.least_rate)
            assert shape == ("power", 1e-4, 5e-7, 5e-7)
            assert (schedule.warm_up, schedule.decay_factor, schedule.by_epoch) == (3000, 0.9, True)
        elif name.endswith("-coco"):
            assert (schedule.decay, schedule.by_epoch, schedule.rate) == ("cosine", True, 5e-6)


def test_a_cosine_by_step_begins_at_the_rate_and_ends_near_the_least():
    schedule = Steps(steps=1000, rate=2e-3, warm_up=100, least_rate=1e-5).schedule(0, False)
    rates = [schedule.rate_at(step) for step in range(1000)]
    assert rates[:100] == pytest.approx([2e-3 * (step + 1) / 100 for step in range(100)])
    assert rates[100] == 2e-3
    assert rates[550] == pytest.approx((2e-3 + 1e-5) / 2)
    assert rates[99:] == sorted(rates[99:], reverse=True)
    assert 1e-5 < rates[-1] < 1.1e-5
