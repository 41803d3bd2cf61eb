"""A search that is read without Typer is the search that Typer reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from photoindex.cli import searching
from photoindex.cli.asked import Asked, read
from photoindex.cli.commands import application
from photoindex.cli.words import command_of
from photoindex.search.options import SearchOptions
from photoindex.search.rank import Rank

OPTIONS = ["-n", "--limit", "--like", "--rank", "--min-probability", "--model", "--device"]
OPTIONS += ["--precision", "--library", "--models-folder"]
VALUES = [
    "5",
    "0",
    "-1",
    "1e3",
    "007",
    "0.5",
    ".5",
    "1",
    "clip",
    "fused",
    "best",
    "cpu",
    "/tmp",
    "",
]
FLAGS = [
    "--all",
    "--why",
    "--json",
    "--paths",
    "-0",
    "-n5",
    "--limit=7",
    "--limit=",
    "-0n",
    "--json=1",
]
FLAGS += [
    "--library=/x",
    "--rank=decoder",
    "--nonsense",
    "-x",
    "-h",
    "--help",
    "--",
    "-",
    "--no-why",
]
WORDS = ["cat", "-tag:dog", "-dog", '-"hot dog"', "tag:snow leopard", "猫", "-n 5", "search", "a=b"]


def typed() -> st.SearchStrategy[list[str]]:
    parts = st.one_of(
        st.sampled_from(WORDS).map(lambda word: [word]),
        st.sampled_from(FLAGS).map(lambda flag: [flag]),
        st.tuples(st.sampled_from(OPTIONS), st.sampled_from(VALUES)).map(list),
        st.tuples(st.sampled_from(OPTIONS), st.sampled_from(WORDS)).map(list),
    )
    joined = st.lists(parts, max_size=5).map(
        lambda lists: [word for part in lists for word in part]
    )
    return st.tuples(joined, joined).map(lambda both: [*both[0][:2], "search", *both[1]])


def by_typer(args: list[str]) -> Asked | None:
    """What Typer hands to the command; None where it does not come to that."""
    handed: list[Asked] = []

    def take(asked: Asked) -> int:
        handed.append(asked)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "answer", take)
        try:
            application("search")(args, prog_name="photoindex", standalone_mode=False)
        except Exception:  # noqa: BLE001  (whatever Typer refuses the words with)
            return None
    return handed[0] if handed else None


@given(typed())
@example(["--library", "x", "search", "cat", "--library", "y", "-n", "3", "-n4"])
@example(["search", "cat", "--", "-n", "--json"])
@example(["search", "--like", "a b.jpg", "after:2024", "--all", "--rank", "clip"])
@example(["search", "--min-probability", "0.25", "-0", "-tag:dog"])
def test_what_is_read_is_what_typer_reads(args: list[str]) -> None:
    asked = read(args)
    if asked is not None:
        assert asked == by_typer(args)


PLAIN: list[tuple[list[str], dict[str, Any]]] = [
    (["search", "cat"], {}),
    (["search", "tabby", "cat", "-tag:dog"], {"words": ("tabby", "cat", "-tag:dog")}),
    (["search", "cat", "--why"], {"why": True}),
    (["search", "cat", "--json"], {"as_json": True}),
    (["search", "cat", "--paths"], {"paths": True}),
    (["search", "cat", "-0"], {"null": True}),
    (["search", "cat", "-n", "7"], {"options": SearchOptions(limit=7)}),
    (["search", "cat", "--all"], {"options": SearchOptions(everything=True)}),
    (["search", "cat", "--rank", "clip"], {"options": SearchOptions(rank=Rank.CLIP)}),
    (["search", "cat", "--like=x.jpg"], {"options": SearchOptions(like=Path("x.jpg"))}),
    (["search", "cat", "--min-probability", ".5"], {"options": SearchOptions(min_probability=0.5)}),
    (["search", "cat", "--device", "cpu"], {"loading": (("device", "cpu"),)}),
    (["--library", "l", "search", "cat"], {"library": Path("l")}),
    (["search", "cat", "--models-folder", "m"], {"models": Path("m")}),
]


@pytest.mark.parametrize(("args", "said"), PLAIN)
def test_plain_searches_need_no_typer(args: list[str], said: dict[str, Any]) -> None:
    assert read(args) == Asked(**({"words": ("cat",)} | said))


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["status"],
        ["--version"],
        ["search", "--help"],
        ["search", "cat", "--bogus"],
        ["search", "cat", "-n", "0"],
        ["search", "cat", "-n"],
        ["search", "cat", "--min-probability", "2"],
        ["search", "cat", "--rank", "best"],
        ["--json", "search", "cat"],
    ],
)
def test_all_else_is_left_to_typer(args: list[str]) -> None:
    assert read(args) is None


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["status"], "status"),
        (["--library", "search", "status"], "status"),
        (["status", "--library", "x"], "status"),
        (["--library=x", "tags", "a.jpg"], "tags"),
        (["--help"], None),
        ([], None),
        (["--library", "x"], None),
    ],
)
def test_the_command_is_known_before_its_module_is_imported(
    args: list[str], command: str | None
) -> None:
    assert command_of(args) == command
