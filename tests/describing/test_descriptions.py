"""What is asked of a model, and what becomes of its answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_model import LanguageModel, Reply

from photoindex.concept_file import MOST_DESCRIPTIONS, read_concepts
from photoindex.errors import ConceptError, UsageError
from photoindex.tagger import no_progress
from ram_tagger.describing import prompts
from ram_tagger.describing.answers import LONGEST, clean
from ram_tagger.describing.descriptions import Described, Plan, concept_names, describe
from ram_tagger.describing.endpoint import Endpoint, EndpointError


def described(model: LanguageModel, out: Path, plan: Plan, parallel: int = 1) -> Described:
    endpoint = Endpoint.at(model.url, "small", None, timeout=60.0)
    return describe(plan, endpoint, out, no_progress, parallel=parallel, pause=0.001)


# Prompts


def test_prompts_ask_for_one_short_sentence_on_looks() -> None:
    texts = [prompts.prompt(number, "red kite") for number in range(len(prompts.PROMPTS))]
    assert len(set(texts)) == len(texts) == 5
    for text in texts:
        assert '"red kite"' in text and "{" not in text
        assert "one sentence" in text and "at most 30 words" in text
    assert prompts.plain("red kite") == "a photo of red kite"


def test_a_name_is_no_template() -> None:
    assert '"{name} {0}"' in prompts.prompt(0, "{name} {0}")
    assert prompts.plain("{name}") == "a photo of {name}"


def test_a_concept_file_takes_the_most_samples() -> None:
    assert 1 + prompts.MOST_SAMPLES * len(prompts.PROMPTS) <= MOST_DESCRIPTIONS


# Cleaning


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A small cat.", "A small cat."),
        ('  "A small cat."\n', "A small cat."),
        ("“A small cat”.", "A small cat."),
        ('"Stop" and "Go" stand on it', '"Stop" and "Go" stand on it'),
        ("1. A small cat.\n2. A large cat.", "A small cat."),
        ("- **A small** `cat`\n- A large cat", "A small cat"),
        ("(3) A small cat", "A small cat"),
        ("• A small cat", "A small cat"),
        ("Sure, here is a description:\n\nA small cat.", "A small cat."),
        ("**Here you are:**\n> A small cat.", "A small cat."),
        ("Sure! Here's one: A small cat at 10:30.", "A small cat at 10:30."),
        ("Of course.\n\nA small cat.", "A small cat."),
        ("# Cats\n\nA small cat.", "A small cat."),
        ("Description: A small cat", "A small cat"),
        ("A small cat.\n\nDo you want more of them?", "A small cat."),
        ("A small cat\nwith a long tail.", "A small cat with a long tail."),
        ("```\nA small cat\n```", "A small cat"),
        ("A [small](http://example.com/x) cat", "A small cat"),
        ("A _small_ cat_fish", "A small cat_fish"),
        ("<think>A cat:\n\nhm</think>\n\nA small cat.", "A small cat."),
        ("hm, a cat</think>A small cat.", "A small cat."),
        ("<think>hm, a cat", ""),
        ("A\tsmall\x1b[2J\u202e cat\x00", "A small[2J cat"),
        ("A small \ud83d cat", "A small cat"),
        ("3.5 litres of milk in 1950s glass", "3.5 litres of milk in 1950s glass"),
        ("Here is a cat", "Here is a cat"),
        ("Here is a description:", ""),
        ("", ""),
        (" \n\n", ""),
    ],
)
def test_odd_answers_are_cleaned(answer: str, expected: str) -> None:
    assert clean(answer) == expected


def test_a_long_answer_ends_with_its_last_whole_sentence() -> None:
    sentence = "The cat has grey fur, 3.5 kg of it, and a tail."
    cut = clean(" ".join([sentence] * 20))
    assert cut == " ".join([sentence] * 8)
    words = clean("furry " * 100)
    assert len(words) <= LONGEST and words.endswith("furry")
    assert clean("毛。" * 300) == "毛。" * (LONGEST // 2)
    assert clean("毛" + "毛。" * 300) == "毛" + "毛。" * (LONGEST // 2 - 1)
    assert clean("x" * 1000) == "x" * LONGEST


ODD = st.sampled_from(
    [
        *"\n\r\t \x0b\x85\u2028*_`#>-•.:)(\"'“”1aA",
        "1. ",
        "a) ",
        "```",
        "Sure! ",
        "</think>",
        "[x](y)",
    ]
)


@settings(deadline=None)
@given(st.lists(ODD | st.characters() | st.text(max_size=40), max_size=60).map("".join))
def test_whatever_is_answered_becomes_one_line(answer: str) -> None:
    line = clean(answer)
    assert len(line) <= LONGEST
    assert line.isprintable()
    assert line == " ".join(line.split())
    assert not re.match(r"[-*•]\s|\d{1,3}[.)]\s|\(?[a-z]\)|#|>", line)
    line.encode()
    assert not line or any(character.isalnum() for character in line)


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-zé]{1,9}[,'’-]?[a-z猫0-9]{1,9}", fullmatch=True), max_size=18))
def test_a_plain_sentence_stays_as_it_is(words: list[str]) -> None:
    sentence = " ".join(["The", *words, "end."])
    assert clean(sentence) == clean(f"  {sentence}\n\nAnything else?") == sentence


# Names


def test_names_are_a_concept_files_names() -> None:
    assert concept_names([" tabby  cat", "猫", "Tabby Cat", "a", "a"]) == (
        *(("tabby cat", "猫", "a"), ("Tabby Cat", "a")),
    )
    for wrong in ("", "x" * 201, "a\x07b", "\udc80"):
        with pytest.raises(ConceptError):
            concept_names([wrong])


# The file


def test_the_plain_description_comes_first_and_no_model_is_asked_for_it(
    model: LanguageModel, tmp_path: Path
) -> None:
    done = described(model, tmp_path / "out.json", Plan(("cat",), 1))
    (concept,) = read_concepts(done.file)
    assert concept.descriptions[0] == "a photo of cat"
    assert len(concept.descriptions) == 1 + len(prompts.PROMPTS)
    assert model.prompts == [prompts.prompt(n, "cat") for n in range(len(prompts.PROMPTS))]


def test_what_was_said_already_is_left_out(model: LanguageModel, tmp_path: Path) -> None:
    model.answer = lambda prompt: "A Grey cat." if "close" in prompt else "a grey cat"
    done = described(model, tmp_path / "out.json", Plan(("cat",), 3))
    (concept,) = read_concepts(done.file)
    assert concept.descriptions == ("a photo of cat", "a grey cat")
    assert (done.requests, done.descriptions, done.skipped, done.bare) == (15, 2, 14, ())


def test_a_tag_without_a_useful_answer_is_named(model: LanguageModel, tmp_path: Path) -> None:
    model.answer = lambda prompt: "" if '"cat"' in prompt else "a grey dog"
    done = described(model, tmp_path / "out.json", Plan(("dog", "cat"), 1))
    assert done.bare == ("cat",)
    assert read_concepts(done.file)[1].descriptions == ("a photo of cat",)


def test_answers_in_any_order_give_the_same_file(model: LanguageModel, tmp_path: Path) -> None:
    plan = Plan(("cat", "dog", "red kite"), 1)
    straight = described(model, tmp_path / "straight.json", plan)
    first = list(model.answered)
    model.asked.clear()
    model.answered.clear()
    model.together = 5
    turned = described(model, tmp_path / "turned.json", plan, parallel=5)
    assert sorted(model.answered) == sorted(first) and model.answered != first
    assert turned.file.read_bytes() == straight.file.read_bytes()
    assert [*json.loads(turned.file.read_bytes())] == ["cat", "dog", "red kite"]


# The endpoint


@pytest.mark.parametrize(
    ("typed", "base"),
    [
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("https://example.com/v1/", "https://example.com/v1"),
        ("https://example.com/v1/chat/completions", "https://example.com/v1"),
        ("https://example.com", "https://example.com"),
        (" http://[::1]:8080/api/ ", "http://[::1]:8080/api"),
    ],
)
def test_a_base_url_is_taken_as_it_is(typed: str, base: str) -> None:
    assert Endpoint.at(typed, "small", None).base == base


@pytest.mark.parametrize(
    "typed",
    [
        *("", "127.0.0.1:11434/v1", "ftp://example.com/v1", "file:///etc/passwd", "http://"),
        *("http://example.com:port", "https://example.com/v1?key=1", "https://me:pw@example.com"),
    ],
)
def test_what_is_no_endpoint_is_refused(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.at(typed, "small", None)
    assert "pw" not in str(caught.value) and "key=1" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.at("https://example.com/v1", "small", key)
    assert key not in str(caught.value)
    assert "secret" not in repr(Endpoint.at("https://example.com/v1", "small", "secret"))


@pytest.mark.parametrize(
    ("base", "reveals"),
    [
        *(("http://example.com/v1", True), ("HTTP://192.168.1.4/v1", True)),
        *(("https://example.com/v1", False), ("http://127.0.0.1:1/v1", False)),
        *(("http://localhost:1/v1", False), ("http://[::1]:1/v1", False)),
    ],
)
def test_a_key_in_the_clear_is_noticed(base: str, reveals: bool) -> None:
    assert Endpoint.at(base, "small", "secret").reveals_key is reveals
    assert not Endpoint.at(base, "small", None).reveals_key


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_passing_trouble_is_sat_out(model: LanguageModel, tmp_path: Path, status: int) -> None:
    model.replies = [Reply(status), Reply(status, headers=())]
    done = described(model, tmp_path / "out.json", Plan(("cat",), 1))
    assert done.requests == 5
    assert len(model.asked) == 7
    assert len(set(model.prompts[:3])) == 1


def test_a_dropped_connection_is_sat_out(model: LanguageModel, tmp_path: Path) -> None:
    model.replies = [Reply(200, "{", (("Content-Length", "99"),)), Reply(200, '{"choices"', ())]
    with pytest.raises(EndpointError, match="JSON"):  # whole, and no answer: not asked again
        described(model, tmp_path / "out.json", Plan(("cat",), 1))
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    "header", ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000", "soon"]
)
def test_a_date_to_wait_for(model: LanguageModel, tmp_path: Path, header: str) -> None:
    model.replies = [Reply(429, headers=(("Retry-After", header),))]
    assert described(model, tmp_path / "out.json", Plan(("cat",), 1)).requests == 5


def test_a_server_that_wants_too_much_patience_is_left(
    model: LanguageModel, tmp_path: Path
) -> None:
    model.replies = [Reply(429, headers=(("Retry-After", "86400"),))]
    with pytest.raises(EndpointError, match=r"cat: .*HTTP 429.*86,400 s"):
        described(model, tmp_path / "out.json", Plan(("cat",), 1))
    assert len(model.asked) == 1


def test_redirects_are_not_followed(model: LanguageModel, tmp_path: Path) -> None:
    goal = f"http://localhost:{model.port}/v1/chat/completions"
    model.replies = [Reply(307, headers=(("Location", goal),))]
    with pytest.raises(EndpointError, match=re.escape(f"redirects to {goal}")):
        described(model, tmp_path / "out.json", Plan(("cat",), 1))
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(401, '{"error": {"message": "no"}}'), "wants a key (HTTP 401): put it into RAM_TAG"),
        (Reply(403), "wants a key (HTTP 403)"),
        (Reply(403, '{"detail": "not you"}'), "HTTP 403 (not you)"),
        (Reply(404, '{"error": "no small"}'), "HTTP 404 (no small): the base URL is wrong (most"),
        (Reply(400, '{"error": {"message": "bad\\n\\u001b[2J"}}'), "HTTP 400 (bad [2J)"),
        (Reply(418, "<html>"), "HTTP 418"),
        (Reply(200, "<html>"), "something other than JSON"),
        (Reply(200, "[" * 100_000), "something other than JSON"),
        (Reply(200, '{"error": {"message": "busy"}}'), "without choices"),
        (Reply(200, '{"choices": []}'), "without choices"),
        (Reply(200, "[]"), "without choices"),
        (Reply(200, '{"choices": [{"message": {"content": 7}}]}'), "other than text"),
        (Reply(200, "x" * 5_000_000), "more than 4 MB"),
    ],
)
def test_what_cannot_be_an_answer_says_what_to_do(
    model: LanguageModel, tmp_path: Path, reply: Reply, message: str
) -> None:
    model.replies = [reply]
    with pytest.raises(EndpointError) as caught:
        described(model, tmp_path / "out.json", Plan(("cat",), 1))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"cat: {model.url} ")
    assert str(caught.value).isprintable()
    assert len(model.asked) == 1


def test_no_content_is_an_empty_answer(model: LanguageModel, tmp_path: Path) -> None:
    model.replies = [Reply(200, '{"choices": [{"message": {"content": null}}]}')]
    assert described(model, tmp_path / "out.json", Plan(("cat",), 1)).skipped == 1


def test_a_server_that_does_not_run_is_not_waited_for(tmp_path: Path) -> None:
    endpoint = Endpoint.at("http://127.0.0.1:9/v1", "small", None)
    with pytest.raises(EndpointError, match=r"cat: .*cannot be reached .*is the server running"):
        describe(Plan(("cat",), 1), endpoint, tmp_path / "out.json", no_progress)
