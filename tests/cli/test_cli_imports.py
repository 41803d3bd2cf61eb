"""What commands cost: no network is imported where none runs, and help imports next to nothing."""

from __future__ import annotations

import pytest
from typed import Command

NETWORKS = {"torch", "torchvision", "timm", "open_clip"}
DATABASES = {"sqlalchemy", "alembic"}
HEAVY = NETWORKS | DATABASES | {"faiss", "numpy", "rich", "httpx", "PIL"}


@pytest.mark.parametrize(
    "words", [["--help"], ["search", "--help"], ["concepts", "--help"], ["--version"]]
)
def test_help_imports_next_to_nothing(empty: Command, words: list[str]) -> None:
    assert not empty.imports(*words) & HEAVY
    assert not empty.library.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["tags"],
        ["tags", "{photo}"],
        ["status"],
        ["failures"],
        ["concepts"],
        ["models"],
        ["search", "cat", "-tag:dog", "after:2020"],
        ["search", "猫", "--json"],
        ["search", "in:/", "-n", "3"],
    ],
)
def test_no_network_is_imported_where_none_runs(
    indexed: Command, pictures: object, words: list[str]
) -> None:
    asked = [word.format(photo=f"{pictures}/zoo/lions.jpg") for word in words]
    assert not indexed.imports(*asked) & NETWORKS


FOR_OTHER_COMMANDS = {"typer", "pydantic", "rich", "httpx", "platformdirs", "filelock", "watchdog"}
FOR_OTHER_SEARCHES = {"faiss", "PIL", "numpy.random", "ram_tagger", "importlib.metadata"}


@pytest.mark.parametrize(
    "words",
    [
        ["tag:cat", "-tag:dog", "after:2020"],
        ["cat", "--json"],
        ["in:/", "-n", "3", "--paths"],
        ["in:/zoo", "--why"],
        ["after:2020", "before:2020-01"],
    ],
)
def test_filters_import_what_they_need(indexed: Command, words: list[str]) -> None:
    found = 0 if words[0] in ("tag:cat", "cat", "in:/") else 1
    imported = indexed.imports("search", *words, code=found)
    assert not imported & (NETWORKS | FOR_OTHER_COMMANDS | FOR_OTHER_SEARCHES | DATABASES)


def test_free_text_needs_no_network_library(indexed: Command) -> None:
    imported = indexed.imports("search", "a", "horse", "near", "a", "castle")
    assert not imported & (NETWORKS | FOR_OTHER_COMMANDS | {"PIL", "numpy.random"} | DATABASES)


def test_a_command_imports_no_other_command(indexed: Command) -> None:
    modules = ("indexing", "concepts", "tagging", "models", "demo", "serving", "searching")
    others = {f"photoindex.cli.{module}" for module in modules}
    assert not indexed.imports("status") & others
    assert indexed.imports("tags") & others == {"photoindex.cli.tagging"}


def test_tags_and_concepts_are_changed_without_a_network(
    photoindex: Command, pictures: object
) -> None:
    photo = f"{pictures}/zoo/lions.jpg"
    assert not photoindex.imports("tag", photo, "mine") & NETWORKS
    assert not photoindex.imports("untag", photo, "mine") & NETWORKS
    assert not photoindex.imports("concepts", "show", "none", code=1) & NETWORKS
