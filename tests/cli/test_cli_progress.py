"""Progress where nobody watches a terminal: a line now and then, with rate and time left."""

from __future__ import annotations

import pytest

from photoindex.terminal.progress import LINE_EVERY, LineMeter, meter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_over_soon_prints_nothing(clock: Clock) -> None:
    lines: list[str] = []
    report = LineMeter(lines.append, clock)
    for done in range(50):
        clock.now += 0.1
        report("analysing", done, 50)
    assert lines == []


def test_a_long_run_tells_rate_and_time_left(clock: Clock) -> None:
    lines: list[str] = []
    report = LineMeter(lines.append, clock)
    for done in range(0, 301, 10):
        report("analysing", done, 900)
        clock.now += 1.0
    assert lines == [
        "analysing: 100 of 900, 10.0/s, 1 min 20 s left",
        "analysing: 200 of 900, 10.0/s, 1 min 10 s left",
        "analysing: 300 of 900, 10.0/s, 1 min 0 s left",
    ]


def test_a_resumed_download_does_not_count_what_was_there(clock: Clock) -> None:
    lines: list[str] = []
    report = LineMeter(lines.append, clock)
    report("downloading weights.pth", 2_000_000_000, 3_000_000_000)
    clock.now = LINE_EVERY
    report("downloading weights.pth", 2_500_000_000, 3_000_000_000)
    assert lines == ["downloading weights.pth: 2.5 GB of 3.0 GB, 50.0 MB/s, 10 s left"]


def test_each_stage_is_measured_by_itself(clock: Clock) -> None:
    lines: list[str] = []
    report = LineMeter(lines.append, clock)
    report("looking", 0, None)
    clock.now = LINE_EVERY
    report("looking", 5000, None)
    report("analysing", 0, 10)
    clock.now += LINE_EVERY
    report("analysing", 5, 10)
    assert lines == ["looking: 5,000, 500.0/s", "analysing: 5 of 10, 0.5/s, 10 s left"]


def test_a_stage_goes_on_being_measured_across_other_lines(clock: Clock) -> None:
    lines: list[str] = []
    report = LineMeter(lines.append, clock)
    report("training", 0, 100)
    for done in (30, 60):
        clock.now += LINE_EVERY / 2
        report.pause()
        report("training", done, 100)
    assert lines == ["training: 60 of 100, 6.0/s, 7 s left"]


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with meter() as progress:
        progress("analysing", 0, 3)
        progress("analysing", 3, 3)
        progress.clear()
    assert capsys.readouterr().err == ""
