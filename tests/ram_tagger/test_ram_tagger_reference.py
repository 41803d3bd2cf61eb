"""The reference lists every command, option and recipe entry that there is, and no other."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer.main
from pydantic import TypeAdapter, ValidationError

from ram_tagger.cli.app import app
from ram_tagger.config import RamConfig
from ram_tagger.errors import RecipeError
from ram_tagger.training import run_folder
from ram_tagger.training.recipe import Recipe, read_recipe
from ram_tagger.training.run_folder import RunFolder

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
HEAVY = {"torch", "torchvision", "timm", "open_clip", "matplotlib", "tensorboard"}
HEAVY |= {"numpy", "safetensors", "httpx", "rich", "PIL"}
TOP = "Top level"


def sections(page: str) -> dict[str, str]:
    """Heading → what stands below it."""
    parts = re.split(r"^## (.+)\n", (REFERENCE / page).read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(section: str) -> list[dict[str, str]]:
    """The rows of a section's first table, cells by column."""
    lines = re.split(r"\n(?!\|)", section[section.index("|") :])[0].splitlines()
    heading, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(heading, row, strict=True)) for row in rows]


def code(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


# Commands


def documented() -> dict[str, set[str]]:
    rows = table(sections("ram-tagger.md")["Commands"])
    return {code(row["command"])[0].split()[1]: set(code(row["options"])) for row in rows}


def options(name: str) -> list[Any]:
    return [p for p in COMMANDS[name].params if p.opts[0].startswith("-")]


def test_every_command_is_there() -> None:
    assert set(documented()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_there(name: str) -> None:
    assert documented()[name] == {o for option in options(name) for o in option.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    assert COMMANDS[name].epilog.startswith(f"Example: ram-tagger {name} ")


def test_every_option_that_must_be_given_is_named() -> None:
    (sentence,) = re.findall(
        r"Options that must be given: ([^.]+)\.", sections("ram-tagger.md")["Commands"]
    )
    named = dict.fromkeys(COMMANDS, frozenset[str]())
    for command, first, second in re.findall(
        r"`([a-z-]+) (--[a-z-]+)`(?: and `(--[a-z-]+)`)?", sentence
    ):
        named[command] = frozenset(filter(None, (first, second)))
    required = {name: {o.opts[0] for o in options(name) if o.required} for name in COMMANDS}
    assert named == required


def test_every_command_that_prints_json_has_its_document_described() -> None:
    rows = table(sections("ram-tagger.md")["JSON"])
    described = {name.split()[0] for row in rows for name in code(row["command"])}
    assert described == {n for n in COMMANDS if any("--json" in o.opts for o in options(n))}


def test_every_environment_variable_is_there_in_the_order_in_which_they_are_asked() -> None:
    rows = table(sections("ram-tagger.md")["Environment"])
    described = {
        code(row["option"])[0]: code(row["variables"]) for row in rows if code(row["option"])
    }
    asked = {
        option.opts[0]: [option.envvar] if isinstance(option.envvar, str) else list(option.envvar)
        for name in COMMANDS
        for option in options(name)
        if option.envvar
    }
    assert described == asked


# What help costs


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["recipes"],
        ["recipes", "sketch", "--json"],
        *([name, "--help"] for name in COMMANDS),
    ],
    ids=" ".join,
)
def test_help_imports_next_to_nothing(words: list[str]) -> None:
    spy = (
        "import atexit, sys; from ram_tagger.cli.app import main; "
        "atexit.register(lambda: sys.stderr.write('\\nIMPORTED ' + ' '.join(sys.modules))); "
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", spy, *words], capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    imported = {name.split(".")[0] for name in done.stderr.rpartition("IMPORTED ")[2].split()}
    assert "ram_tagger" in imported
    assert not imported & HEAVY


# Recipes


def recipe_sections() -> dict[str, type[Any]]:
    """Heading → the dataclass of the entries below it."""
    found: dict[str, type[Any]] = {TOP: Recipe}
    for name, hint in get_type_hints(Recipe).items():
        if dataclasses.is_dataclass(hint):
            found[f"[{name}]"] = hint  # type: ignore[assignment]
        elif get_args(hint) and dataclasses.is_dataclass(get_args(hint)[0]):
            found[f"[[{name}]]"] = get_args(hint)[0]
    return found


def entries(heading: str) -> dict[str, dataclasses.Field[Any]]:
    """The entries of a section that are no sections themselves."""
    inner = {name.strip("[]") for name in recipe_sections()} if heading == TOP else set()
    return {
        f.name: f for f in dataclasses.fields(recipe_sections()[heading]) if f.name not in inner
    }


def as_written(value: Any) -> Any:
    """A default as TOML has it."""
    return (
        list(value)
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, Path)
        else value
    )


def test_every_section_of_a_recipe_is_there() -> None:
    headings = [name for name in sections("recipe.md") if name.startswith("[") or name == TOP]
    assert headings == list(recipe_sections())


@pytest.mark.parametrize("heading", recipe_sections())
def test_every_entry_of_a_recipe_is_there_with_its_default(heading: str) -> None:
    rows = {code(row["entry"])[0]: row["default"] for row in table(sections("recipe.md")[heading])}
    assert list(rows) == list(entries(heading))
    for name, field in entries(heading).items():
        if rows[name] == "required":
            default: Any = dataclasses.MISSING
        elif rows[name] == "—":
            default = None
        else:
            default = tomllib.loads(f"default = {code(rows[name])[0]}")["default"]
        assert (name, default) == (name, as_written(field.default))


def test_the_sizes_of_a_fresh_network_are_those_that_are_named() -> None:
    rows = table(sections("recipe.md")["[network]"])
    named = {code(row["entry"])[0]: code(row["fresh"]) for row in rows}
    assert named.pop("embedding_width") == []  # CLIP's
    fresh = RamConfig()
    assert {name: tomllib.loads(f"v = {value}")["v"] for name, (value,) in named.items()} == {
        name: as_written(getattr(fresh, name)) for name in named
    }


def test_the_example_is_a_recipe(tmp_path: Path) -> None:
    block = re.findall(r"^(?: {4}.*\n|\n)+", sections("recipe.md")["Example"], re.M)[0]
    file = tmp_path / "birds.toml"
    file.write_text(textwrap.dedent(block), encoding="utf-8")
    recipe = read_recipe(str(file))
    assert (recipe.name, recipe.data.annotations) == ("birds", (Path("birds.json"),))


# Run folders


def test_every_file_of_a_run_folder_is_there() -> None:
    rows = table(sections("recipe.md")["The run folder"])
    named = {code(row["file"])[0].rstrip("/") for row in rows}
    assert named == {
        run_folder.RECIPE,
        run_folder.METRICS,
        run_folder.SKIPPED,
        run_folder.CHECKPOINTS,
        run_folder.TENSORBOARD,
        run_folder.MODEL,
    }


def changes() -> Iterator[tuple[str, Recipe]]:
    """Entry → the recipe BEGUN with another value there."""
    for heading in recipe_sections():
        if heading.startswith("[["):
            continue
        section = BEGUN if heading == TOP else getattr(BEGUN, heading.strip("[]"))
        for name in entries(heading):
            changed = dataclasses.replace(section, **{name: another(section, name)})
            if heading == TOP:
                yield name, changed
            else:
                within = heading.strip("[]")
                yield f"{within}.{name}", dataclasses.replace(BEGUN, **{within: changed})
    yield "evaluations", dataclasses.replace(BEGUN, evaluations=another(BEGUN, "evaluations"))


def another(section: Any, name: str) -> Any:
    """A value that the entry may have, and has not."""
    adapter = TypeAdapter(get_type_hints(type(section))[name])
    benchmark = {"name": "other", "tag_list": "tags.txt", "annotations": "truth.txt"}
    for candidate in (
        True,
        False,
        3,
        "other",
        "power",
        "fp32",
        ["other"],
        (0.1, 0.2, 0.3),
        [benchmark],
    ):
        try:
            value = adapter.validate_python(candidate)
        except ValidationError:
            continue
        if value != getattr(section, name):
            return value
    raise AssertionError(f"no other value for {name}")


BEGUN = Recipe.from_json(
    {"name": "begun", "data": {"annotations": ["a.json"]}, "schedule": {"steps": 5}}, "here"
)
CHANGES = dict(changes())


@pytest.mark.parametrize("entry", CHANGES)
def test_a_run_is_continued_with_the_changes_that_are_named_and_no_other(
    entry: str, tmp_path: Path
) -> None:
    may_change = {code(r["entry"])[0] for r in table(sections("recipe.md")["Continuing a run"])}
    assert may_change < set(CHANGES)
    folder = RunFolder(tmp_path / "run")
    folder.begin(BEGUN)
    if entry in may_change:
        folder.begin(CHANGES[entry])
    else:
        with pytest.raises(RecipeError, match=rf"another recipe \({re.escape(entry)} differ\)"):
            folder.begin(CHANGES[entry])
