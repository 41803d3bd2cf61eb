"""`ram-tagger describe`: what it writes, what it costs, and what stays when it is stopped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from describe_command import OUT, PART, Describe, Done, left, refused, typed
from language_model import LanguageModel, Reply, says_of

from photoindex.concept_file import read_concepts
from ram_tagger.describing import prompts

NAMES = ("cat", "tabby cat", "dog", "hammock")
PROMPTS = len(prompts.PROMPTS)


# What it writes


def test_a_file_of_descriptions_that_can_be_read(describe: Describe, model: LanguageModel) -> None:
    model.answer = lambda prompt: f"“{says_of(prompt)}”"
    done = describe(*NAMES, "--samples", "1")
    assert (done.code, done.stdout) == (0, "")
    assert "concepts.json: 4 concepts, 24 descriptions" in done.stderr
    concepts = read_concepts(OUT)
    assert tuple(concept.name for concept in concepts) == NAMES
    for concept in concepts:
        asked = [prompts.prompt(number, concept.name) for number in range(PROMPTS)]
        assert concept.descriptions == (f"a photo of {concept.name}", *map(says_of, asked))
        assert (concept.threshold, concept.name_zh) == (0.5, None)
    assert left() == {"concepts.json"}


def test_each_prompt_is_sent_as_often_as_there_are_samples(
    describe: Describe, model: LanguageModel
) -> None:
    assert describe("cat", "dog", "--samples", "4", "--temperature", "0.7").code == 0
    expected = [prompts.prompt(n, name) for name in ("cat", "dog") for n in range(PROMPTS)]
    assert sorted(model.prompts) == sorted(expected * 4)
    for asked in model.asked:
        assert asked.path == "/v1/chat/completions"
        assert asked.body["model"] == "small"
        assert asked.body["temperature"] == 0.7
        assert [message["role"] for message in asked.body["messages"]] == ["user"]
        assert "authorization" not in asked.headers


def test_json_tells_what_was_done(describe: Describe, model: LanguageModel) -> None:
    done = describe("cat", "--samples", "2", "--out", "mine.json", "--json")
    assert json.loads(done.stdout) == {
        "file": "mine.json",
        "concepts": 1,
        "descriptions": 6,
        "requests": 10,
        "skipped": 5,  # this model says the same to the same prompt
    }
    assert "5 answers left out" in done.stderr


def test_names_from_a_file_and_from_standard_input(
    describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = Path("tags.txt")
    tags.write_text("﻿tabby  cat\r\n\n  猫\nCAT\n", encoding="utf-8")
    done = describe("cat", "--names", tags, "--samples", "1")
    assert done.code == 0
    assert "CAT: named twice, described once" in done.stderr
    assert [concept.name for concept in read_concepts(OUT)] == ["cat", "tabby cat", "猫"]
    with tags.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert describe("--names", "-", "--samples", "1", "--out", "two.json").code == 0
    assert [concept.name for concept in read_concepts(Path("two.json"))] == [
        "tabby cat",
        "猫",
        "CAT",
    ]


def test_the_endpoint_and_the_model_may_stand_in_the_environment(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("describe", "cat", "--samples", "1", "--out")
    monkeypatch.setenv("OPENAI_BASE_URL", model.url + "/")
    monkeypatch.setenv("RAM_TAGGER_LLM", "other")
    assert typed(capsys, *words, "one.json").code == 0
    assert {asked.body["model"] for asked in model.asked} == {"other"}
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("RAM_TAGGER_ENDPOINT", f"{model.url}/chat/completions")
    assert typed(capsys, *words, "two.json").code == 0


def test_a_dry_run_needs_no_endpoint(
    model: LanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    done = typed(capsys, "describe", "cat", "dog", "--dry-run")
    assert done.code == 0
    assert done.stdout.splitlines() == [prompts.prompt(n, "cat") for n in range(PROMPTS)]
    assert "2 tags, 5 prompts, 3 samples: 30 requests" in done.stderr
    document = json.loads(typed(capsys, "describe", "cat", "--dry-run", "--json").stdout)
    assert document["requests"] == 15
    assert document["prompts"] == done.stdout.splitlines()
    assert left() == set()


# The key


@pytest.mark.parametrize("variable", ["RAM_TAGGER_KEY", "OPENAI_API_KEY"])
def test_the_key_is_sent_and_shown_nowhere(
    describe: Describe, model: LanguageModel, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    key = "sk-never-to-be-seen"
    monkeypatch.setenv(variable, key)
    echo = json.dumps({"error": {"message": f"not with {key}"}})
    shown = describe("cat", "--samples", "1", "--json")
    assert {asked.headers["authorization"] for asked in model.asked} == {f"Bearer {key}"}
    for status in (302, 400, 401, 403, 404, 500):
        model.asked.clear()
        location = ("Location", f"http://example.com/?key={key}")
        model.replies = [Reply(status, echo, (("Retry-After", "0"), location))] * 5
        failed = describe("dog", "--out", "other.json", "--parallel", "1")
        refused(failed, 3, "dog: ")
        shown = Done(0, shown.stdout + failed.stdout, shown.stderr + failed.stderr)
    assert "refuses the key (HTTP 401): correct RAM_TAGGER_KEY" in shown.stderr
    assert key not in shown.stdout + shown.stderr
    assert left() == {"concepts.json", "other.json.part"}
    assert all(key not in Path(name).read_text() for name in left())


def test_an_empty_key_of_its_own_keeps_the_other_one_back(
    describe: Describe, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    monkeypatch.setenv("RAM_TAGGER_KEY", "")
    assert describe("cat", "--samples", "1").code == 0
    assert all("authorization" not in asked.headers for asked in model.asked)


def test_a_key_in_the_clear_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAM_TAGGER_KEY", "sk-secret")
    PART.write_text("not a journal")  # nothing is sent
    endpoint = ("--endpoint", "http://models.example.com/v1", "--llm", "small")
    done = typed(capsys, "describe", "cat", *endpoint)
    assert "unencrypted to http://models.example.com/v1" in done.stderr
    assert "sk-secret" not in done.stderr


# Trouble


def test_a_server_that_is_busy_is_waited_for(describe: Describe, model: LanguageModel) -> None:
    model.replies = [Reply(429), Reply(429), Reply(503)]
    done = describe("cat", "--samples", "1")
    assert done.code == 0
    assert len(model.asked) == PROMPTS + 3
    assert len(read_concepts(OUT)[0].descriptions) == PROMPTS + 1


# What is there already


@pytest.mark.parametrize(
    "make",
    [
        lambda: OUT.write_text("mine"),
        lambda: OUT.mkdir(),
        lambda: OUT.symlink_to("nowhere"),
    ],
)
def test_what_is_there_is_not_overwritten(
    describe: Describe, model: LanguageModel, make: Callable[[], object]
) -> None:
    make()
    refused(describe("cat"), 2, "concepts.json is there already: remove it, or name another file")
    assert (left(), model.asked) == ({"concepts.json"}, [])


def test_what_came_there_meanwhile_is_not_overwritten(
    describe: Describe, model: LanguageModel
) -> None:
    def answer(prompt: str) -> str:
        OUT.write_text("mine")
        return says_of(prompt)

    model.answer = answer
    refused(describe("cat", "--samples", "1"), 2, "concepts.json came there meanwhile")
    assert (OUT.read_text(), left()) == ("mine", {"concepts.json", "concepts.json.part"})
    OUT.unlink()
    assert describe("cat", "--samples", "1").code == 0
    assert len(model.asked) == PROMPTS


def test_without_hard_links_nothing_is_overwritten_either(
    describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert describe("cat", "--samples", "1").code == 0
    assert read_concepts(OUT)[0].name == "cat"
    assert left() == {"concepts.json"}


# Wrong usage


def test_without_an_endpoint_it_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    every = ("--endpoint", "RAM_TAGGER_ENDPOINT", "--llm", "RAM_TAGGER_LLM", "RAM_TAGGER_KEY")
    example = "--endpoint http://127.0.0.1:11434/v1 --llm "
    refused(typed(capsys, "describe", "cat"), 2, "no endpoint to ask: set", *every, example)
    half = typed(capsys, "describe", "cat", "--endpoint", "http://127.0.0.1:9/v1")
    refused(half, 2, "no model to ask: set", *every, example)
    assert left() == set()


def test_wrong_usage_is_refused(describe: Describe, model: LanguageModel) -> None:
    refused(describe(), 2, "no tag to describe")
    refused(describe("--names", "lost.txt"), 2, "lost.txt: cannot be read")
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    refused(describe("--names", "latin.txt"), 2, "latin.txt: not UTF-8")
    refused(describe("x" * 201), 2, "not a name")
    refused(describe("cat", "--samples", "0"), 2, "--samples")
    refused(describe("cat", "--samples", "200"), 2, "--samples")
    refused(describe("cat", "--temperature", "nan"), 2, "--temperature")
    refused(describe("cat", "--timeout", "inf"), 2, "--timeout")
    refused(describe("cat", "--parallel", "0"), 2, "--parallel")
    refused(describe("cat", "--out", "no/where.json"), 2, "no folder no: make it")
    refused(describe("cat", "--key", "x"), 2, "No such option")
    assert model.asked == []


def test_a_folder_that_cannot_be_written_is_said(describe: Describe, model: LanguageModel) -> None:
    PART.mkdir()
    refused(describe("cat"), 3, "cannot write concepts.json: ")
    assert model.asked == []


# Help


def test_describing_and_its_help_need_no_torch(model: LanguageModel) -> None:
    script = (
        "import sys; from ram_tagger.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as leaving: assert not leaving.code, leaving\n"
        "heavy = {'torch', 'timm', 'open_clip', 'PIL', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run = ["describe", "cat", "--endpoint", model.url, "--llm", "small"]
    for words in (run, ["describe", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    every = "names endpoint llm samples temperature parallel out timeout dry-run json".split()
    assert {f"--{name}" for name in every} <= set(re.findall(r"--[a-z-]+", done.stdout))
    assert "Example: ram-tagger describe" in done.stdout
    assert len(read_concepts(OUT)) == 1
