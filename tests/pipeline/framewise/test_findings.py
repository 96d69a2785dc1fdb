"""Notes of all windows become one warning each: in manifest, terminal, JSON lines and report."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import Any

import cv2
import media
import pytest
import torch
from clips import dissolve, moving, plain_answer
from torch import Tensor

from pipeline.cli.main import main
from pipeline.frame_ranges import consecutive_ranges
from pipeline.framewise.findings import Findings
from pipeline.framewise.recipe import Output, Recipe, validated
from pipeline.tasks.transition.transition_warnings import (
    anchor_warnings,
)
from stages.context import Note, Separation, SeparationContext, notes_where
from stages.media.clip import Frames
from stages.shots import Analysis, Shot, Transition


def same(frames: Tensor, facts: object, context: SeparationContext) -> Separation:
    return Separation({"clean": frames})


RECIPE = Recipe((Output("clean"),), lambda sample, context: None, same)


def window(first: int, count: int) -> Frames:
    return Frames(
        torch.rand(count, 3, 4, 5),
        tuple(Fraction(first + place, 25) for place in range(count)),
        first,
    )


def told(
    count: int, *parts: tuple[int, int, tuple[Note, ...]], pictures: bool = False
) -> list[str]:
    findings = Findings(0, count, pictures=pictures)
    for first, length, notes in parts:
        frames = window(first, length)
        findings.add(frames, Separation({"clean": 1 - frames.pixels}, notes=notes), RECIPE)
    return findings.warnings()


def test_notes_of_all_windows_are_one_sentence_with_ranges() -> None:
    note = Note("nothing in {frames}: {percent}", (0, 1), (0.1, 0.2))
    assert told(12, (0, 6, (note,)), (6, 6, (note, note.moved(4)))) == [
        "nothing in frames 0 to 1, 6 to 7 and 10 to 11: 15 %"
    ]
    assert told(2, (0, 2, (note,))) == ["nothing in all 2 frames: 15 %"]
    assert told(1, (0, 1, (Note("nothing in {frames}", (0,)),)), pictures=True) == [
        "nothing in the picture"
    ]
    assert told(3, (0, 3, (Note("nothing in {frames}", (0, 2)),)), pictures=True) == [
        "nothing in pictures 1 and 3"
    ]
    many = Note("x {frames}", tuple(range(0, 12, 2)))
    assert told(12, (0, 12, (many,))) == ["x frames 0, 2, 4 and 3 more ranges"]


def test_where_windows_overlap_both_must_say_it() -> None:
    note = Note("nothing in {frames}", (0, 1, 2, 3, 4, 5))
    assert told(10, (0, 6, (note,)), (4, 6, ())) == ["nothing in frames 0 to 3"]
    assert told(10, (0, 6, (note,)), (4, 6, (note,))) == ["nothing in all 10 frames"]
    assert told(10, (0, 6, ()), (4, 6, (Note("nothing in {frames}", (0, 1)),))) == []


def test_a_stage_that_says_nothing_is_covered() -> None:
    frames = window(0, 3)
    layer = frames.pixels.clone()
    layer[1] += 0.01
    findings = Findings(0, 3, pictures=False)
    findings.add(frames, Separation({"clean": layer}), RECIPE)
    assert findings.warnings() == [
        "nothing was found to take apart in frames 0 and 2: the layer clean is the input itself"
    ]
    # Where the stage has said something itself, that is enough.
    findings = Findings(0, 3, pictures=False)
    findings.add(
        frames, Separation({"clean": layer}, notes=(Note("told of {frames}", (0, 2)),)), RECIPE
    )
    assert findings.warnings() == ["told of frames 0 and 2"]


def test_notes_are_checked() -> None:
    assert notes_where("x", torch.tensor([False, False])) == ()
    assert notes_where("x", torch.tensor([False, True]), torch.tensor([0.1, 0.25])) == (
        Note("x", (1,), (0.25,)),
    )
    assert consecutive_ranges([1, 2, 4], 1) == [(2, 3), (5, 5)]
    with pytest.raises(ValueError, match="2 frames has 1 amounts"):
        Note("x", (0, 1), (0.5,))
    frames = torch.rand(2, 3, 4, 5)
    with pytest.raises(ValueError, match="frames that the window of 2 frames does not have"):
        validated(Separation({"clean": frames}, notes=(Note("x", (2,)),)), RECIPE, frames)
    with pytest.raises(ValueError, match="a note that is a str, not a Note"):
        validated(Separation({"clean": frames}, notes=("x",)), RECIPE, frames)  # type: ignore[arg-type]


def test_a_transition_without_clean_frames_is_told() -> None:
    move = Transition(0, 4, "dissolve", (0.1, 0.3, 0.5, 0.7, 0.9), outgoing=0, incoming=1)
    whole = Analysis(5, (Shot(0, -1), Shot(5, 4)), (move,))
    (text,) = anchor_warnings(whole)
    assert text.startswith(
        "there is no clean frame before or after frames 0 to 4, so both scenes are guesses; "
    )
    (text,) = anchor_warnings(Analysis(9, (Shot(0, -1), Shot(5, 8)), (move,)))
    assert text.startswith(
        "there is no clean frame before frames 0 to 4, so the outgoing scene is a guess; "
    )
    assert (
        anchor_warnings(
            Analysis(9, (Shot(5, 8),), (replace(move, outgoing=None, incoming=0, color="#000000"),))
        )
        == []
    )


@pytest.mark.parametrize("alone", range(5))
def test_a_scene_with_hardly_a_frame_for_itself_is_told(alone: int) -> None:
    mix = (0.25, 0.5, 0.75)
    second = 7 + alone
    moves = (
        Transition(4, 6, "dissolve", mix, outgoing=0, incoming=1),
        Transition(second, second + 2, "dissolve", mix, outgoing=1, incoming=2),
    )
    shots = Shot(0, 3), Shot(7, second - 1), Shot(second + 3, second + 6)
    warnings = anchor_warnings(Analysis(second + 7, shots, moves))
    crowded = [text for text in warnings if "three scenes are mixed" in text]
    assert len(crowded) == (alone in (1, 2))
    assert all("scene-002" in text and f"frames 4 to 6 and {second}" in text for text in crowded)


@pytest.mark.parametrize("alone", range(5))
@pytest.mark.parametrize("at_end", [False, True])
def test_a_transition_that_may_be_cut_off_is_told(alone: int, at_end: bool) -> None:
    """The clip has few frames of one of its two scenes, and many of the other."""
    before, after = (6, alone) if at_end else (alone, 6)
    move = Transition(before, before + 2, "dissolve", (0.25, 0.5, 0.75), outgoing=0, incoming=1)
    shots = Shot(0, before - 1), Shot(before + 3, before + 2 + after)
    warnings = anchor_warnings(Analysis(before + 3 + after, shots, (move,)))
    told = [text for text in warnings if "was cut off" in text]
    assert len(told) == (alone in (1, 2))
    given = anchor_warnings(Analysis(before + 3 + after, shots, (move,)), is_given=True)
    assert not any("was cut off" in text for text in given)
    scene, side = ("scene-002", "after") if at_end else ("scene-001", "before")
    assert all(text.startswith(scene) and f"for itself {side} the" in text for text in told)


def test_it_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    media.save(Path("in.mkv"), moving(1, 12, (24, 32)))

    def never(*about: object) -> None:
        assert "there is no clean frame before or after frames 0 to 11" in capsys.readouterr().err
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.tasks.transition.run.separate", never)
    assert (
        main(["run", "in.mkv", "--task", "transition", "--transition", "0:11", "--no-progress"])
        == 130
    )
    assert (
        main(
            [
                "run",
                "in.mkv",
                "--task",
                "transition",
                "--transition",
                "0:11",
                "--out",
                "o",
                "--dry-run",
                "--json",
            ]
        )
        == 0
    )
    assert any("no clean frame" in text for text in json.loads(capsys.readouterr().out)["warnings"])


def test_warnings_stand_at_the_top_of_the_page_and_everywhere_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("in.png", moving(1, 1, (24, 32))[0])
    words = ["run", "in.png", "--task", "watermark", "--preset", "fast", "--overwrite"]
    assert main([*words, "--no-progress"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert main([*words, "--json"]) == 0
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    (warning,) = [each["text"] for each in lines if each["event"] == "warning"]
    whole = json.loads(Path("in-watermark/manifest.json").read_text())
    assert (
        whole["warnings"] == [warning] == lines[-1]["warnings"]
        and line == f"unlayer: warning: {warning}"
    )
    page = Path("in-watermark/report.html").read_text()
    # The warning comes before all figures.
    assert (
        0
        < page.index(escape(warning, quote=False))
        < page.index('<ul class="facts">')
        < page.index("Self-checks")
    )


def test_the_largest_figures_are_what_is_known_and_what_is_invented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A good reconstruction does not prove right layers, so it is only one check among others."""

    def known(*words: Any, **more: Any) -> Any:
        made = plain_answer(*words, **more)
        return replace(made, report={**made.report, "explained": 0.75, "invented": 0.25})

    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", known)
    monkeypatch.chdir(tmp_path)
    media.save(Path("in.mkv"), dissolve(moving(1, 16, (48, 64)), moving(2, 16, (48, 64)), 5, 6)[0])
    assert (
        main("run in.mkv --task transition --transition 5:10 --out out --no-progress".split()) == 0
    )
    account = json.loads(Path("out/manifest.json").read_text())["report"]["account"]
    assert account.startswith("What the clean frames show explains 75 %")
    head, rest = Path("out/report.html").read_text().split('aria-label="Self-checks"')
    for words in (
        "<b>75 %</b><span>follows from what the input shows",
        "<b>25 %</b><span>inferred",
        "explains 75 % of the mixed pictures",
    ):
        assert words in head
    assert (
        "40.0 dB" not in head
        and "40.0 dB" in rest
        and "verdict good" not in rest.split("mix back")[1].split("</tr>")[0]
    )
