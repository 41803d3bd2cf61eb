"""What commands cost: no network is imported where none runs, and help imports next to nothing."""

from __future__ import annotations

import pytest
from typed import Command

NETWORKS = {"torch", "torchvision", "timm", "open_clip"}
HEAVY = NETWORKS | {"faiss", "sqlalchemy", "alembic", "numpy", "rich", "httpx", "PIL"}


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


def test_tags_and_concepts_are_changed_without_a_network(
    photoindex: Command, pictures: object
) -> None:
    photo = f"{pictures}/zoo/lions.jpg"
    assert not photoindex.imports("tag", photo, "mine") & NETWORKS
    assert not photoindex.imports("untag", photo, "mine") & NETWORKS
    assert not photoindex.imports("concepts", "show", "none", code=1) & NETWORKS
