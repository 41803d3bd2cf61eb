"""What the command line makes of words that Typer alone would take otherwise."""

import pytest
from typed import Command

from photoindex.cli.words import hoisted, joined


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["tabby cat on roof"], "tabby cat on roof"),
        (["tabby", "cat"], "tabby cat"),
        (["-tag:dog", "cat"], "-tag:dog cat"),
        (["tag:cat on roof"], "tag:cat on roof"),
        (["cat", "in:My Photos"], 'cat in:"My Photos"'),
        (["-tag:snow leopard", "tag:zoo"], '-tag:"snow leopard" tag:zoo'),
        (["cat", 'tag:"snow leopard"'], 'cat tag:"snow leopard"'),
        (["two words", "more"], "two words more"),
    ],
)
def test_the_shells_words_make_one_query(words: list[str], query: str) -> None:
    assert joined(words) == query


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (["search", "cat", "--library", "x"], ["--library", "x", "search", "cat"]),
        (["search", "--library=x", "cat"], ["--library=x", "search", "cat"]),
        (["--models-folder", "m", "status"], ["--models-folder", "m", "status"]),
        (["tags", "--", "--library"], ["tags", "--", "--library"]),
        (["status", "--library"], ["--library", "status"]),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], understood: list[str]) -> None:
    assert hoisted(given) == understood


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["seaarch"],
            "photoindex: No such command 'seaarch'. Did you mean 'search'? (photoindex -h)",
        ),
        (["search", "--qqq"], "photoindex: No such option: --qqq (photoindex search -h)"),
        (["--models-folder"], "photoindex: Option '--models-folder' requires an argument"),
    ],
)
def test_wrong_usage_is_one_line(empty: Command, words: list[str], line: str) -> None:
    outcome = empty(*words, code=2)
    assert outcome.err.startswith(line)
    assert outcome.err.count("\n") == 1
