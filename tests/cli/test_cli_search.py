"""`photoindex search`: queries, filters, what is printed and how it ends."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest
from typed import ODD_NAME, Command

HIT = {
    *("path", "path_bytes", "files", "hash", "bytes", "width", "height", "format"),
    *("taken_at", "camera", "latitude", "longitude", "score", "relevant", "tags", "evidence"),
}


def found(command: Command, pictures: Path, *words: str) -> list[str]:
    """Files that a search finds, relative to the pictures, best first."""
    raw = command("search", *words, "-0").raw
    return [str(Path(os.fsdecode(path)).relative_to(pictures)) for path in raw.split(b"\0")[:-1]]


def showing(truth: dict[str, set[str]], *tags: str) -> set[str]:
    return {file for file, shown in truth.items() if shown >= set(tags)}


def test_a_tag_finds_its_photos(
    indexed: Command, pictures: Path, truth: dict[str, set[str]]
) -> None:
    hits = found(indexed, pictures, "cat")
    assert set(hits) == showing(truth, "cat")
    assert found(indexed, pictures, "猫") == hits


def test_several_tags_and_filters_narrow_it_down(
    indexed: Command, pictures: Path, truth: dict[str, set[str]]
) -> None:
    dogs = set(found(indexed, pictures, "dog"))
    assert dogs == showing(truth, "dog")
    assert set(found(indexed, pictures, "-tag:meadow", "dog")) == dogs - showing(truth, "meadow")
    assert set(found(indexed, pictures, "dog", "in:" + str(pictures / "city"))) == {
        "city/rainy-day.jpg"
    }
    assert set(found(indexed, pictures, "dog after:2023 before:2024")) == {"home/dog and ball.jpg"}


def test_free_text_is_an_open_set_concept(indexed: Command, pictures: Path) -> None:
    outcome = indexed("search", "birthday", "party", "with", "a", "cake")
    assert "as a concept: birthday party with a cake" in outcome.err
    first = outcome.lines[1]
    assert "birthday-202" in first


def test_every_rank_finds_the_birthdays(indexed: Command, pictures: Path) -> None:
    for rank in ("clip", "decoder", "fused"):
        best = found(indexed, pictures, "birthday party with a cake", "--rank", rank, "--all")
        assert any("birthday" in file for file in best[:3])


def test_the_table_shows_score_path_and_tags(indexed: Command, pictures: Path) -> None:
    outcome = indexed("search", "cat")
    assert outcome.err == "as tag: cat\n"
    heading, *rows = outcome.lines
    assert heading.split() == ["score", "photo", "tags"]
    for row in rows:
        score, rest = row.split(maxsplit=1)
        assert 0 <= float(score) <= 1
        assert rest.startswith(str(pictures))
        assert "  cat " in rest


def test_odd_names_are_shown_as_escapes(indexed: Command, pictures: Path) -> None:
    query = f"in:{pictures}"
    table = indexed("search", query, "-n", "100").out
    assert "caf\\xe9\\n 1.png" in table
    hits = indexed("search", query, "-n", "100", "--json").document["hits"]
    (odd,) = [hit for hit in hits if hit["path_bytes"] is not None]
    assert os.fsdecode(base64.b64decode(odd["path_bytes"])) == str(pictures / ODD_NAME)
    paths = indexed("search", query, "-n", "100", "--paths").raw
    assert os.fsencode(pictures / ODD_NAME) + b"\n" in paths


def test_json_is_one_document_with_stable_keys(indexed: Command, pictures: Path) -> None:
    document = indexed("search", "a horse near a castle", "-n", "3", "--json").document
    assert set(document) == {*("query", "like", "rank", "understood", "found", "below_cut", "hits")}
    assert document["query"] == "a horse near a castle"
    assert document["understood"]["concept"] == "a horse near a castle"
    best = document["hits"][0]
    assert set(best) == HIT
    assert best["path"] == str(pictures / "holidays/castle-visit.jpg")
    assert best["files"] == [{"path": best["path"], "path_bytes": None}]
    assert set(best["evidence"]) == {
        *("similarity", "noise_floor", "standing"),
        *("probability", "usual_probability", "tag_probability"),
    }
    for tag in best["tags"]:
        assert set(tag) == {"name", "zh", "probability", "threshold", "source", "model"}


def test_a_copy_is_the_same_hit(indexed: Command, pictures: Path) -> None:
    hits = indexed("search", "lion", "--json").document["hits"]
    (lions,) = [hit for hit in hits if "zoo/lions" in hit["path"]]
    assert {file["path"] for file in lions["files"]} == {
        str(pictures / "zoo/lions.jpg"),
        str(pictures / "zoo/lions again.jpg"),
    }
    assert "(and 1 other file)" in indexed("search", "lion", "--why").out


def test_why_explains_each_hit(indexed: Command) -> None:
    out = indexed("search", "a horse near a castle", "--why").out
    assert "castle-visit" in out.splitlines()[0]
    assert "above the noise floor of" in out
    assert "alignment decoder: probability " in out
    assert "tag horse 马 " in out
    assert "(by model, shown from " in out


def test_like_finds_the_picture_itself_first(indexed: Command, pictures: Path) -> None:
    outcome = indexed("search", "--like", pictures / "city/taxi.jpg", "-n", "1")
    assert "city/taxi.jpg" in outcome.out
    assert "as photos like" in outcome.err


def test_nothing_found_is_exit_code_one(indexed: Command) -> None:
    outcome = indexed("search", "cat -tag:cat", code=1)
    assert outcome.raw == b""
    assert outcome.err.splitlines()[-1].startswith("nothing found")
    assert indexed("search", "cat -tag:cat", "--json", code=1).document["hits"] == []
    assert indexed("search", "cat -tag:cat", "-0", code=1).raw == b""


@pytest.mark.parametrize("query", ["a steam locomotive", "quarterly tax report spreadsheet"])
def test_what_the_library_does_not_show_is_not_found(indexed: Command, query: str) -> None:
    outcome = indexed("search", query, code=1)
    assert "lie below the cut: --all shows them" in outcome.err
    assert len(indexed("search", query, "--all").lines) == 21


def test_more_than_the_limit_is_told(indexed: Command) -> None:
    outcome = indexed("search", "animal", "-n", "2")
    assert len(outcome.lines) == 3
    assert "the first 2 of " in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to search for"),
        (["tag:nonesuch"], 'no tag "nonesuch"'),
        (["tag:cta"], "cat"),
        (["after:yesterday"], "after:2024-05-17"),
        (['"open'], "quotation mark"),
        (["cat", "--json", "--paths"], "choose one"),
        (["cat", "--rank", "best"], "best"),
        (["cat", "--min-probability", "2"], "--min-probability"),
        (["cat", "-n", "0"], "--limit"),
        (["cat", "--bogus"], "--bogus"),
    ],
)
def test_a_query_that_makes_no_sense_is_exit_code_two(
    indexed: Command, words: list[str], message: str
) -> None:
    outcome = indexed("search", *words, code=2)
    assert outcome.raw == b""
    assert message in outcome.err


def test_an_example_that_is_no_picture_is_exit_code_three(indexed: Command, pictures: Path) -> None:
    outcome = indexed("search", "--like", pictures / "broken.jpg", code=3)
    assert str(pictures / "broken.jpg") in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(indexed: Command) -> None:
    searching = subprocess.Popen(
        [indexed.program, *indexed.arguments(("search", "animal", "--json"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert searching.stdout is not None and searching.stderr is not None
    searching.stdout.close()
    assert b"Traceback" not in searching.stderr.read()
    searching.stderr.close()
    assert searching.wait(60) in (0, 1)
