"""What travels between a search and the process that answers it arrives as it was."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoindex.errors import LibraryError, ModelError, NothingFound, QueryError
from photoindex.lending import answers, requests
from photoindex.lending.requests import FileIdentity, Malformed, Wanted
from photoindex.photo import Metadata, PhotoFacts, PhotoRecord, PhotoTag, Source
from photoindex.search.options import SearchOptions
from photoindex.search.query import Query, parse, with_absolute_folders
from photoindex.search.rank import Rank
from photoindex.search.results import Evidence, Hit, SearchResult

texts = st.text(st.characters()) | st.binary().map(os.fsdecode)
whole = st.integers(0, 2**63 - 1)
shares = st.floats(0, 1)
measures = st.none() | st.floats(allow_nan=False)
paths = st.binary(min_size=1).map(lambda name: Path(os.fsdecode(b"/" + name.replace(b"\0", b"0"))))
records = st.builds(
    PhotoRecord,
    whole,
    st.builds(
        PhotoFacts,
        *(texts, whole, whole, whole, texts),
        st.builds(
            Metadata,
            *(st.none() | st.datetimes(), st.none() | texts, measures, measures),
        ),
    ),
    st.lists(paths, max_size=3).map(tuple),
)
tags = st.builds(
    PhotoTag,
    *(texts, st.none() | texts, shares, st.none() | shares, st.sampled_from(Source)),
    st.none() | texts,
)
hits = st.builds(
    Hit,
    *(records, shares, st.booleans(), st.lists(tags, max_size=3).map(tuple)),
    st.builds(Evidence, measures, measures, measures, measures, measures, measures),
)
results = st.builds(
    SearchResult,
    *(st.lists(hits, max_size=3).map(tuple), st.lists(texts).map(tuple), st.none() | texts),
    *(whole, whole),
)
wishes = st.builds(
    Wanted,
    texts,
    st.builds(
        SearchOptions,
        *(st.integers(1, requests.MOST_HITS), st.none(), st.sampled_from(Rank)),
        *(st.none() | shares, st.booleans()),
    ),
    *(st.none(), texts, texts, texts, st.none() | texts),
)
identities = st.tuples(whole, whole, whole, whole)


@given(results)
def test_what_is_found_arrives_to_the_last_digit(result: SearchResult) -> None:
    line = answers.found(result)
    assert b"\n" not in line
    assert answers.parse_answer(line) == result


@given(wishes, st.none() | st.tuples(paths, identities))
def test_what_is_wanted_arrives(wanted: Wanted, like: tuple[Path, FileIdentity] | None) -> None:
    if like is not None:
        options = SearchOptions(like=like[0])
        wanted = Wanted(wanted.query, options, like[1], "/m", "auto", "auto", None)
    assert requests.parse_request(requests.request(wanted)) == wanted


@given(texts)
def test_an_error_of_the_query_arrives_as_it_was_raised(message: str) -> None:
    for kind in (QueryError, NothingFound):
        line = answers.failed(kind(message))
        assert line is not None
        error = answers.parse_answer(line)
        assert type(error) is kind and str(error) == message


@pytest.mark.parametrize("error", [ModelError("gone"), LibraryError("damaged")])
def test_what_is_wrong_here_may_be_right_there(error: ModelError | LibraryError) -> None:
    assert answers.failed(error) is None
    assert answers.parse_answer(answers.declined("whatever")) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.binary() | anything.map(lambda message: json.dumps(message).encode()))
def test_garbage_is_malformed_and_nothing_worse(line: bytes) -> None:
    with pytest.raises(Malformed):
        requests.parse_request(line)


@given(st.data(), wishes)
def test_a_request_with_anything_in_it_is_sound_or_malformed(
    data: st.DataObject, wanted: Wanted
) -> None:
    row = json.loads(requests.request(wanted))
    at = data.draw(st.integers(0, len(row) - 1))
    row[at] = data.draw(anything)
    with contextlib.suppress(Malformed):
        requests.request(requests.parse_request(json.dumps(row).encode()))


@pytest.mark.parametrize("depth", [100_000])
def test_nesting_is_no_way_in(depth: int) -> None:
    with pytest.raises(Malformed):
        requests.parse_request(b"[" * depth)


queries = st.lists(
    st.sampled_from(["cat", "in:.", "in:~/x", 'in:"a b"', "-dog", '"in:x y"', "IN:../up", "xin:y"])
    | st.sampled_from(["after:2024", "tag:in:z", 'a"b"in:c', "in:/abs", "NOT", "-in:d"]),
    max_size=5,
).map(" ".join)


def parsed(query: str) -> Query | str:
    """What a query means, or why it means nothing."""
    try:
        return parse(query)
    except QueryError as error:
        return str(error)


@given(queries)
def test_folders_mean_the_same_in_another_working_directory(query: str) -> None:
    everywhere = with_absolute_folders(query)
    assert everywhere is not None
    here, before = parsed(query), Path.cwd()
    os.chdir("/")
    try:
        assert parsed(everywhere) == here
    finally:
        os.chdir(before)


def test_a_folder_that_no_query_can_name_is_told(tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" '
    odd.mkdir()
    before = Path.cwd()
    os.chdir(odd)
    try:
        assert with_absolute_folders("cat in:.") is None
        assert with_absolute_folders("cat") == "cat"
    finally:
        os.chdir(before)


def test_times_keep_their_microseconds() -> None:
    facts = PhotoFacts("h", 1, 2, 3, "JPEG", Metadata(datetime(2024, 5, 17, 12, 0, 0, 1)))
    hit = Hit(PhotoRecord(1, facts, ()), 0.1, True, (), Evidence())
    result = SearchResult((hit,), (), None, 1, 0)
    assert answers.parse_answer(answers.found(result)) == result
