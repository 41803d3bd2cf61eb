"""A run that failed, was killed or was stopped goes on where it was."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from describe_command import OUT, PART, Describe, Done, left, refused, typed
from language_model import PATIENCE, LanguageModel, Reply

from photoindex.concept_file import read_concepts
from ram_tagger.describing import prompts

NAMES = ("cat", "tabby cat", "dog", "hammock")
PROMPTS = len(prompts.PROMPTS)


def kept() -> list[dict[str, object]]:
    """The answers in the part file."""
    return [json.loads(line) for line in PART.read_text().splitlines()[1:]]


def test_what_was_got_before_a_failure_is_not_asked_for_again(
    describe: Describe, model: LanguageModel
) -> None:
    model.refuses = lambda prompt: Reply(500, '{"error": "on fire"}') if '"dog"' in prompt else None
    failed = describe(*NAMES, "--samples", "2")
    refused(failed, 3, "dog: ", "HTTP 500 (on fire), 5 times", "are kept in concepts.json.part")
    assert not OUT.exists()
    got = len(kept())
    assert got == 2 * 2 * PROMPTS  # the two tags before
    assert "20 of 40 answers are kept" in failed.stderr
    model.asked.clear()
    model.refuses = lambda prompt: None
    done = describe(*NAMES, "--samples", "2", "--json")
    assert done.code == 0
    assert json.loads(done.stdout)["requests"] == len(model.asked) == 2 * PROMPTS * 4 - got
    assert [concept.name for concept in read_concepts(OUT)] == [*NAMES]
    assert left() == {"concepts.json"}


def test_names_may_be_added_but_not_forgotten(describe: Describe, model: LanguageModel) -> None:
    model.refuses = lambda prompt: Reply(400) if '"dog"' in prompt else None
    assert describe("cat", "dog", "--samples", "1", "--parallel", "1").code == 3
    assert len(kept()) == PROMPTS
    model.asked.clear()
    before = PART.read_bytes()
    refused(describe("hammock", "--samples", "1"), 2, 'holds answers for "cat": name them too')
    assert (model.asked, PART.read_bytes()) == ([], before)
    assert describe("hammock", "cat", "--samples", "1").code == 0
    assert len(model.asked) == PROMPTS
    assert [concept.name for concept in read_concepts(OUT)] == ["hammock", "cat"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--samples", "2"), "begun with --samples 1 instead of 2"),
        (("--samples", "1", "--temperature", "0.5"), "begun with --temperature 1.0 instead of 0.5"),
        (("--samples", "1", "--llm", "large"), "begun with --llm small instead of large"),
    ],
)
def test_other_settings_do_not_continue(
    describe: Describe,
    model: LanguageModel,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    model.refuses = lambda prompt: Reply(400) if '"dog"' in prompt else None
    describe("cat", "dog", "--samples", "1", "--parallel", "1")
    before = PART.read_bytes()
    model.asked.clear()
    words = ("describe", "cat", "dog", "--endpoint", model.url, "--llm", "small", *options)
    refused(typed(capsys, *words), 2, message, "use the same options", "delete it to begin anew")
    assert (model.asked, PART.read_bytes()) == ([], before)


def test_other_prompts_do_not_continue(
    describe: Describe, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.replies = [Reply(400)]
    describe("cat", "--samples", "1")
    monkeypatch.setattr(prompts, "PROMPTS", ("Which colour has {name}?",))
    refused(describe("cat", "--samples", "1"), 2, "begun with the prompts of another release")


@pytest.mark.parametrize("torn", [b"", b'{"name": "ca', b'{"name": "\xe7', b"\0" * 50])
def test_a_torn_last_line_is_cut_off(describe: Describe, model: LanguageModel, torn: bytes) -> None:
    model.refuses = lambda prompt: Reply(400) if '"dog"' in prompt else None
    describe("cat", "dog", "--samples", "1", "--parallel", "1")
    with PART.open("ab") as part:
        part.write(torn)
    model.refuses = lambda prompt: None
    model.asked.clear()
    assert describe("cat", "dog", "--samples", "1").code == 0
    assert len(model.asked) == PROMPTS
    assert all(len(concept.descriptions) == PROMPTS + 1 for concept in read_concepts(OUT))


@pytest.mark.parametrize("begun", [b"", b"{", b'{"ram-tagger describe": 1, "llm": "sma'])
def test_a_part_file_that_was_hardly_begun_is_begun_anew(describe: Describe, begun: bytes) -> None:
    PART.write_bytes(begun)
    assert describe("cat", "--samples", "1").code == 0


@pytest.mark.parametrize(
    "other", [b"my notes", b"my\nnotes\n", b"[]\n", b'{"cat": 1}\n', b"\xff\n"]
)
def test_somebodys_own_part_file_is_left_alone(
    describe: Describe, model: LanguageModel, other: bytes
) -> None:
    PART.write_bytes(other)
    refused(describe("cat"), 2, "concepts.json.part is there, and is none of ram-tagger describe's")
    assert (PART.read_bytes(), model.asked) == (other, [])


def test_a_damaged_line_is_named(describe: Describe, model: LanguageModel) -> None:
    model.refuses = lambda prompt: Reply(400) if '"dog"' in prompt else None
    describe("cat", "dog", "--samples", "1", "--parallel", "1")
    lines = PART.read_text().splitlines()
    lines[2] = lines[2].replace('"prompt": 1', '"prompt": true')
    PART.write_text("\n".join(lines) + "\n")
    refused(describe("cat", "dog", "--samples", "1"), 3, "concepts.json.part: line 3 is damaged")
    assert PART.read_text().splitlines() == lines


# Stopped in the middle


def test_killed_and_continued_it_writes_what_an_undisturbed_run_writes(
    describe: Describe, model: LanguageModel
) -> None:
    words = (*NAMES, "--samples", "2")
    assert describe(*words, "--out", "straight.json").code == 0
    model.asked.clear()
    model.holds_after = 17
    process = describe.start(*words)
    model.until_asked(17 + 4)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert not OUT.exists()
    got = len(kept())
    assert got == 17  # each was on disk before the next request left
    model.holds_after = None
    model.go_on.set()
    model.asked.clear()
    assert describe(*words).code == 0
    assert len(model.asked) == 40 - got
    assert OUT.read_bytes() == Path("straight.json").read_bytes()
    assert not PART.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_answers_that_are_on_their_way(
    describe: Describe, model: LanguageModel, number: signal.Signals
) -> None:
    model.holds_after = 6
    process = describe.start(*NAMES, "--samples", "2")
    model.until_asked(6 + 4)
    process.send_signal(number)
    assert process.stderr is not None
    assert "once more stops at once" in process.stderr.readline()
    model.go_on.set()
    stdout, stderr = process.communicate(timeout=PATIENCE)
    refused(Done(process.returncode, stdout, stderr), 128 + number, "10 of 40 answers are kept")
    assert "the same command again continues" in stderr
    assert len(kept()) == len(model.asked) == 10
    assert describe(*NAMES, "--samples", "2").code == 0
    assert len(model.asked) == 40


def test_a_second_signal_waits_for_no_answer(describe: Describe, model: LanguageModel) -> None:
    model.holds_after = 6
    process = describe.start(*NAMES, "--samples", "2")
    model.until_asked(6 + 4)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "once more stops at once" in line
    while "once more stops at once" in line:  # a signal that meets the first one's is asked again
        process.send_signal(signal.SIGINT)
        line = process.stderr.readline()  # nothing is answered meanwhile
    stdout, stderr = process.communicate(timeout=PATIENCE)
    refused(
        Done(process.returncode, stdout, line + stderr), 130, "the same command again continues"
    )
    assert len(model.answered) == 6
    assert len(kept()) == 6


def test_two_at_once_do_not_mix(describe: Describe, model: LanguageModel) -> None:
    model.holds_after = 0
    process = describe.start("cat", "--samples", "1")
    model.until_asked(4)
    refused(describe("cat", "--samples", "1"), 3, "another ram-tagger is writing concepts.json")
    model.go_on.set()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert len(model.asked) == PROMPTS
