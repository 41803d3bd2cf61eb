"""The query language."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoindex.errors import QueryError
from photoindex.search.query import Query, parse


def test_free_words_keep_their_order() -> None:
    assert parse("tabby cat on roof") == Query(text=("tabby", "cat", "on", "roof"))


def test_quotes_keep_words_together() -> None:
    assert parse('"snow leopard" zoo').text == ("snow leopard", "zoo")


def test_filters_mix_with_text() -> None:
    query = parse('sunset tag:cat -tag:dog tag:"hot dog" after:2024-05 before:2025-01-02')
    assert query.text == ("sunset",)
    assert query.tags == ("cat", "hot dog")
    assert query.not_tags == ("dog",)
    assert query.after == datetime(2024, 5, 1)
    assert query.before == datetime(2025, 1, 2)


def test_dates_narrow_when_given_twice() -> None:
    query = parse("after:2020 after:2021-03 before:2024 before:2022")
    assert (query.after, query.before) == (datetime(2021, 3, 1), datetime(2022, 1, 1))


def test_folders_are_absolute_and_may_hold_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert parse('in:"~/My Pictures"').folders == (Path("/home/ada/My Pictures"),)
    monkeypatch.chdir("/")
    assert parse("in:a/../b in:~nobody-here").folders == (Path("/b"), Path("/~nobody-here"))


def test_chinese_words_and_tags() -> None:
    assert parse("猫 tag:狗") == Query(text=("猫",), tags=("狗",))


@pytest.mark.parametrize("text", ["cat -dog", "cat NOT dog", 'cat -"dog"', "cat AND NOT dog"])
def test_a_dash_or_not_asks_for_a_tag_not_to_be_there(text: str) -> None:
    assert parse(text) == Query(text=("cat",), not_tags=("dog",))


def test_a_dash_within_or_alone_is_none() -> None:
    assert parse("T-shirt - 35mm -5").text == ("T-shirt", "-", "35mm", "-5")


@pytest.mark.parametrize("text", ["cat OR dog", "cat NOT"])
def test_what_cannot_be_asked_is_said(text: str) -> None:
    with pytest.raises(QueryError, match=r"OR|NOT"):
        parse(text)


def test_words_with_colons_are_words() -> None:
    assert parse("16:9 screen Re: letter").text == ("16:9", "screen", "Re:", "letter")


@pytest.mark.parametrize(
    "text", ["after:yesterday", "before:2024-13", "after:2024-02-30", "after:"]
)
def test_a_date_that_is_none_is_named(text: str) -> None:
    with pytest.raises(QueryError, match=text.split(":")[0]):
        parse(text)


@pytest.mark.parametrize("text", ["tag:", 'tag:""', "in: cats", '-tag:"  "'])
def test_a_filter_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="needs a value"):
        parse(text)


@pytest.mark.parametrize("word", ["caf\udce9", "tag:\udce9", "-tag:\udce9", "cat \udce9"])
def test_bytes_that_are_no_text_are_refused_but_for_folders(word: str) -> None:
    with pytest.raises(QueryError, match="UTF-8"):
        parse(word)
    assert parse("in:/caf\udce9").folders == (Path("/caf\udce9"),)


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(QueryError, match="not closed"):
        parse('cat "on roof')


def test_a_filter_that_does_not_exist_is_not_taken_for_a_word() -> None:
    with pytest.raises(QueryError, match="no filter"):
        parse("since:2024")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        assert str(error)
    else:
        assert all(word.strip() for word in query.text)


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), max_size=6))
def test_plain_words_come_back_as_they_are(words: list[str]) -> None:
    assert parse(" ".join(words)).text == tuple(words)
