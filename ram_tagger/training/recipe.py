"""Recipes: all that decides how a model is trained, in one TOML file."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from ram_tagger.config import RamConfig
from ram_tagger.errors import RecipeError
from ram_tagger.training.schedule import Schedule

Part = Annotated[float, Field(ge=0, le=1)]
_STRICT = ConfigDict(extra="forbid")
SHIPPED = files("ram_tagger.training") / "recipes"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the weights begin with.

    model: a model folder or a published `.pth` to go on from; without one the decoder is fresh.
    backbone: what a fresh network's backbone begins with: a checkpoint file in the names of timm or
    of the original Swin, `clip` (the image tower of the CLIP, where that is the same backbone), or
    nothing.
    """

    __pydantic_config__ = _STRICT
    model: Path | None = None
    backbone: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """Sizes of the network, those of `RamConfig`; what is left out is the beginning's own."""

    __pydantic_config__ = _STRICT
    backbone: str | None = None
    image_size: PositiveInt | None = None  # pixels
    embedding_width: PositiveInt | None = None
    hidden_width: PositiveInt | None = None
    heads: PositiveInt | None = None
    layers: PositiveInt | None = None
    feed_forward_width: PositiveInt | None = None
    dropout: Part | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def on(self, config: RamConfig) -> RamConfig:
        """A config with what is named here."""
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(config, **{k: v for k, v in named.items() if v is not None})


@dataclass(frozen=True, slots=True)
class Labels:
    """The vocabulary and its frozen description embeddings, where no model folder brings them.

    bank: what `ram-tagger label-bank` wrote, or the published `.pth`; tags: needed for the latter,
    and to choose some of the bank's tags; tags_zh and thresholds: files of one line a tag.
    annotated: the tags that the annotations speak of, one a line, where these are not all; of the
    others the model keeps the opinion that it begins with. descriptions: how many of each tag's
    descriptions are used, 0 for all. trained: let training move the description embeddings.
    """

    __pydantic_config__ = _STRICT
    bank: Path | None = None
    tags: Path | None = None
    tags_zh: Path | None = None
    thresholds: Path | None = None
    annotated: Path | None = None
    descriptions: NonNegativeInt = 0
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Annotation files in the published format, or drawn scenes.

    images: the folder that picture paths are relative to. clip_cache: a folder with CLIP's
    embeddings of all pictures and captions; filled by `--cache-clip`. workers: processes that
    read pictures.
    """

    __pydantic_config__ = _STRICT
    annotations: tuple[Path, ...] = ()
    images: Path = Path()
    scenes: bool = False
    clip_cache: Path | None = None
    workers: NonNegativeInt = 4


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How a picture is changed before the network sees it; CLIP sees its middle square unchanged.

    smallest_crop: the least part of the area that a random crop keeps; 1: the whole picture.
    flip: mirror every other one. operations: how many of RandAugment's (arXiv 1909.13719), and at
    which strength of 30.
    """

    __pydantic_config__ = _STRICT
    smallest_crop: float = 1.0
    flip: bool = False
    operations: NonNegativeInt = 0
    strength: int = 5


@dataclass(frozen=True, slots=True)
class Steps:
    """How long, how fast, how many pictures at a time.

    pictures: those of one step, over all processes; at_once: those that go through the network
    together in one process. Either steps or epochs. The rest as in `schedule.Schedule`.
    precision: bf16 is autocast; auto takes it where the hardware multiplies it fast.
    """

    __pydantic_config__ = _STRICT
    pictures: PositiveInt = 64
    at_once: PositiveInt = 64
    steps: NonNegativeInt = 0
    epochs: NonNegativeFloat = 0.0
    rate: PositiveFloat = 1e-4
    warm_up: NonNegativeInt = 0
    first_rate: NonNegativeFloat = 0.0
    least_rate: NonNegativeFloat = 0.0
    decay: Literal["cosine", "power"] = "cosine"
    decay_factor: Part = 0.9
    by_epoch: bool = False
    weight_decay: NonNegativeFloat = 0.05
    largest_gradient: NonNegativeFloat = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    fixed_statistics: bool = False
    freeze_encoder: bool = False

    def schedule(self, pictures: int, bf16: bool) -> Schedule:
        """The schedule for a source of so many pictures (0: endless). Raises RecipeError."""
        steps_per_epoch = pictures / self.pictures
        steps = self.steps or round(self.epochs * steps_per_epoch)
        if steps < 1:
            raise RecipeError("no steps to take: set steps or epochs under [schedule]")
        return Schedule(
            steps=steps,
            rate=self.rate,
            warm_up=self.warm_up,
            first_rate=self.first_rate,
            least_rate=self.least_rate,
            decay=self.decay,
            decay_factor=self.decay_factor,
            by_epoch=self.by_epoch,
            steps_per_epoch=steps_per_epoch,
            weight_decay=self.weight_decay,
            largest_gradient=self.largest_gradient,
            bf16=bf16,
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """What each loss counts; 0 leaves it out. The published training adds all three as they are.

    Tagging, alignment and keeping are sums over a step's pictures, distillation is a mean. Keeping
    holds tags that are not annotated (`labels.annotated`) where they were.
    unit_target: imitate CLIP's embedding at unit length, not at CLIP's own.
    spare_holding: a caption that happens to hold for a picture it was not written for counts
    neither way there; otherwise it counts as wrong, as in the published training.
    """

    __pydantic_config__ = _STRICT
    tagging: NonNegativeFloat = 1.0
    distillation: NonNegativeFloat = 1.0
    alignment: NonNegativeFloat = 1.0
    keeping: NonNegativeFloat = 1.0
    unit_target: bool = False
    spare_holding: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One benchmark that the model is measured on as it learns: files as `evaluate` takes them."""

    __pydantic_config__ = _STRICT
    name: str
    tag_list: Path
    annotations: Path
    images: Path = Path()
    descriptions: Path | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """What is kept, and how often; all in steps, 0 for never.

    keep: how many checkpoints. half: store the model in 16 bit. thresholds_from: the evaluation on
    whose pictures the thresholds of its tags are chosen at the end.
    """

    __pydantic_config__ = _STRICT
    report_every: NonNegativeInt = 50
    evaluate_every: NonNegativeInt = 0
    save_every: NonNegativeInt = 1000
    keep: PositiveInt = 2
    half: bool = False
    thresholds_from: str = ""
    tensorboard: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run, described whole: equal recipes on equal data give equal models."""

    __pydantic_config__ = _STRICT
    name: str
    seed: int = 0
    clip: str = ""  # CLIP's weights: ViT-B-16.pt, or a model folder; "sketch": the bundled one
    beginning: Beginning = field(default_factory=Beginning)
    network: Network = field(default_factory=Network)
    labels: Labels = field(default_factory=Labels)
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Steps = field(default_factory=Steps)
    loss: Loss = field(default_factory=Loss)
    evaluations: tuple[Evaluation, ...] = ()
    output: Output = field(default_factory=Output)

    def to_json(self) -> dict[str, Any]:
        """All values, defaults included."""
        return dict(_adapter().dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, table: Mapping[str, Any], source: str) -> Recipe:
        """A recipe from a table. Raises RecipeError that names the entry and what is wrong."""
        try:
            recipe = _adapter().validate_python(table)
        except ValidationError as error:
            raise RecipeError(f"{source}: {_first(error)}") from error
        _check(recipe, source)
        return recipe


def read_recipe(named: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe from a TOML file (or a run's `recipe.json`), or a shipped one by its name.

    changes: `schedule.steps=100` and the like, values as in TOML. Raises RecipeError.
    """
    path = Path(named)
    text = _shipped(named) if not path.is_file() else None
    if text is None:
        if not path.is_file():
            raise RecipeError(
                f"no recipe {named}: name a TOML file, or one of {', '.join(shipped_recipes())}"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{named} cannot be read: {error}") from error
    try:
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        if not isinstance(table, dict):
            raise ValueError("expected an object")
        for change in changes:
            _change(table, change)
    except ValueError as error:  # of either parser
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise RecipeError(f"{named} is not {kind}: {error}") from error
    return Recipe.from_json(table, named)


def with_clip_cache(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with a CLIP cache, in this folder unless it names one. Raises RecipeError."""
    if recipe.data.scenes:
        raise RecipeError("drawn scenes never come again: there is nothing to cache")
    data = dataclasses.replace(recipe.data, clip_cache=recipe.data.clip_cache or folder)
    return dataclasses.replace(recipe, data=data)


def shipped_recipes() -> dict[str, str]:
    """The text of every recipe that comes with the package, by name."""
    found = sorted(SHIPPED.iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in found
        if entry.name.endswith(".toml")
    }


def _change(table: dict[str, Any], change: str) -> None:
    name, equals, value = change.partition("=")
    *sections, last = name.strip().split(".")
    if not equals or not last:
        raise RecipeError(f"--set {change}: write it as schedule.steps=100")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {change}: {section} is no section")
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value.strip()  # a text without quotes, as one types it


def _shipped(name: str) -> str | None:
    return shipped_recipes().get(name)


@cache
def _adapter() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown entry {where}: see docs/reference/recipe.md for those there are"
    message = first["msg"].removeprefix("Input ").replace("a valid tuple", "a list")
    return f"{where}: {message[:1].lower()}{message[1:]}"


def _check(recipe: Recipe, source: str) -> None:
    schedule, data, loss = recipe.schedule, recipe.data, recipe.loss
    weights = (loss.tagging, loss.distillation, loss.alignment)
    named = recipe.beginning.model or recipe.evaluations or recipe.labels.bank
    wrong = {
        "schedule: give steps or epochs, not both": bool(schedule.steps and schedule.epochs),
        "data: give annotations, or scenes = true": bool(data.annotations) == data.scenes,
        "loss: all weights are 0": not any(weights),
        "augmentation.smallest_crop: give a part between 0 and 1": not (
            0 < recipe.augmentation.smallest_crop <= 1
        ),
        "augmentation.strength: give 0 to 30": not 0 <= recipe.augmentation.strength <= 30,
        "data.scenes: drawn scenes bring their own beginning, labels and evaluations": bool(
            data.scenes and named
        ),
        "schedule.epochs: drawn scenes never end, give steps": bool(
            data.scenes and schedule.epochs
        ),
    }
    for message, holds in wrong.items():
        if holds:
            raise RecipeError(f"{source}: {message}")
