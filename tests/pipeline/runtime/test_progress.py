"""Progress: what each kind of reporter says, and the seconds of each stage."""

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from pipeline.runtime.progress import (
    BarReporter,
    JsonReporter,
    LineReporter,
    SilentReporter,
    Stages,
    reporter,
)


def test_stages_are_timed_under_their_names() -> None:
    stages = Stages(SilentReporter())
    parts: dict[str, float] = {}
    began = time.monotonic()
    with stages.stage("find"):
        time.sleep(0.02)
    with stages.stage("separate", within=lambda: parts) as step:
        step(0.5, "half")
        time.sleep(0.03)
        parts.update(fit=0.02)
    with stages.stage("find"):
        time.sleep(0.02)
    spent = time.monotonic() - began
    assert list(stages.seconds) == ["find", "fit", "separate"]
    assert (
        stages.seconds["find"] >= 0.04
        and stages.seconds["fit"] == 0.02
        and stages.seconds["separate"] >= 0.01
    )
    assert spent - 0.02 < sum(stages.seconds.values()) <= spent


def test_a_stage_that_fails_is_timed_too() -> None:
    stages = Stages(SilentReporter())
    with pytest.raises(ZeroDivisionError), stages.stage("fit"):
        raise ZeroDivisionError
    assert "fit" in stages.seconds


def test_warnings_are_shown_once_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages(SilentReporter())
    stages.warn("careful")
    stages.warn("careful")
    assert stages.warnings == ["careful"]
    assert capsys.readouterr().err == "unlayer: warning: careful\n"


def test_plain_lines_are_few_and_tell_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    stages = Stages(LineReporter(every=5, clock=lambda: now[0]))
    with stages.stage("fit") as step:
        for second in range(21):
            now[0] = float(second)
            step(second / 20, f"step {second}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "fit 25 % step 5, 15 s left",
        "fit 50 % step 10, 10 s left",
        "fit 75 % step 15, 5 s left",
        "fit 100 % step 20, 0 s left",
    ]
    assert len(lines) == 5 and lines[4].startswith("fit done in ")


def test_bars_show_each_stage() -> None:
    shown = io.StringIO()
    stages = Stages(BarReporter(Console(file=shown, force_terminal=True, width=120)))
    with stages.stage("find") as step:
        step(0.5, "frame [60] of 120")
    with stages.stage("find") as step:
        step(1.0, "again")
    stages.warn("careful [not] markup")
    stages.reporter.close()
    stages.reporter.close()
    text = shown.getvalue()
    assert "find" in text and "100 %" in text and "careful [not] markup" in text


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages(JsonReporter())
    with stages.stage("find") as step:
        step(0.25, "frame 1")
        step(0.5, "too soon")
    stages.warn("careful")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["begin", "step", "end", "warning"]
    assert events[1] == {"event": "step", "stage": "find", "fraction": 0.25, "note": "frame 1"}


def test_the_reporter_fits_options_and_terminal() -> None:
    assert isinstance(reporter(json_lines=True, quiet=True), JsonReporter)
    assert type(reporter(json_lines=False, quiet=True)) is SilentReporter
    # Under pytest standard error is not a terminal.
    assert isinstance(reporter(json_lines=False, quiet=False), LineReporter)
