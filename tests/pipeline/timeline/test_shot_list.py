"""Shot lists: what a person may edit, what is refused, and that a run does what the list says."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from clips import dissolve, moving, plain_answer

from pipeline.cli.main import main
from pipeline.tasks.transition import separate
from pipeline.timeline.clock import ListClock
from pipeline.timeline.shot_list import ShotList, read_shot_list
from stages.errors import UsageError

CLOCK = ListClock(Fraction(25), 0, ":")
HEAD = "kind,name,first_frame,last_frame,first_timecode,last_timecode,frames,effect,color,found\n"
FOUND = HEAD + (
    "shot,scene-001,0,25,00:00:00:00,00:00:01:00,26,,,0..25\n"
    "dissolve,scene-001 to scene-002,26,49,00:00:01:01,00:00:01:24,24,,,26..49\n"
    "shot,scene-002,50,74,00:00:02:00,00:00:02:24,25,,,50..74\n"
    "cut,scene-002 to scene-003,75,,00:00:03:00,,0,,,75..74\n"
    "shot,scene-003,75,99,00:00:03:00,00:00:03:24,25,,,75..99\n"
)


def spans(found: ShotList, end: int = 99) -> list[tuple[int, int]]:
    return [(piece.first, piece.last) for piece in found.timeline(end)]


def refused(text: str, *says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_shot_list(text, CLOCK)
    assert all(word in str(caught.value) for word in says), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_as_it_was_found() -> None:
    found = read_shot_list(FOUND, CLOCK)
    assert spans(found) == [(0, 25), (50, 74), (75, 99)]
    assert [(item.first, item.last, item.kind) for item in found.transitions] == [
        (26, 49, "dissolve"),
        (75, 74, "cut"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("scene-002,26,49,", "scene-002,30,49,"),
        ("00:00:01:01,00:00:01:24", "00:00:01:05,00:00:01:24"),
        ("26,49,00:00:01:01,", "30,49,00:00:01:05,"),
        ("26,49,00:00:01:01,", ",49,00:00:01:05,"),
        ("26,49,00:00:01:01,", "30,49,,"),
    ],
    ids=["frame", "time code", "both", "time code alone", "frame alone"],
)
def test_a_frame_or_its_time_code_is_edited(before: str, after: str) -> None:
    assert before in FOUND
    found = read_shot_list(FOUND.replace(before, after), CLOCK)
    # The shot before it goes on to where it begins now.
    assert spans(found) == [(0, 29), (50, 74), (75, 99)]
    assert found.transitions[0].first == 30


def test_what_may_be_edited() -> None:
    with_kind = FOUND.replace("dissolve,", "Wipe ,").replace(",24,,,26", ",24,wipeleft,,26")
    (wipe, _) = read_shot_list(with_kind, CLOCK).transitions
    assert (wipe.kind, wipe.effect) == ("wipe", "wipeleft")
    lines = FOUND.splitlines(keepends=True)
    # Without the cut and the shot after it, the second shot is the last one.
    assert spans(read_shot_list("".join(lines[:4]), CLOCK)) == [(0, 25), (50, 99)]
    # Spreadsheets of some countries separate by semicolons, and add marks and empty lines.
    text = "\ufeff" + FOUND.replace(",", ";") + ";;;\n"
    assert spans(read_shot_list(text, CLOCK)) == [(0, 25), (50, 74), (75, 99)]
    few = "kind\tfirst_frame\tlast_frame\nshot\t0\t9\ndissolve\t10\t14\nshot\t15\t\n"
    assert spans(read_shot_list(few, CLOCK)) == [(0, 9), (15, 99)]
    touching = "kind,first_frame,last_frame\nshot,0,9\nshot,10,\n"
    found = read_shot_list(touching, CLOCK)
    assert [item.kind for item in found.transitions] == ["cut"] and len(found.pieces) == 2


def test_fades_lead_to_plain_colors() -> None:
    text = "kind,first_frame,last_frame,color\nshot,0,9,\nfade,10,14,#000000\n"
    dip = text + "fade,15,19,#000000\nshot,20,,\n"
    found = read_shot_list(dip, CLOCK)
    assert [piece.color for piece in found.pieces] == [None, "#000000", None]
    held = text + "color,15,17,#000000\nfade,18,19,#000000\nshot,20,,\n"
    assert [piece.color for piece in read_shot_list(held, CLOCK).pieces] == [None, "#000000", None]
    ends = read_shot_list(text, CLOCK)
    assert [piece.color for piece in ends.timeline(14)] == [None, "#000000"]
    begins = "kind,first_frame,last_frame,color\nfade,0,4,#ffffff\nshot,5,,\n"
    assert [piece.color for piece in read_shot_list(begins, CLOCK).pieces] == ["#ffffff", None]


def test_drop_frame_time_codes_are_read() -> None:
    rate = Fraction(30000, 1001)
    clock = ListClock(rate, 1798, ";")
    text = "kind,first_timecode,last_timecode\nshot,00:00:59;28,00:00:59;29\nshot,00:01:00;02,\n"
    assert [piece.first for piece in read_shot_list(text, clock).pieces] == [0, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["no row"]),
        ("shot,0,9\n", ["line 1", "headings"]),
        (HEAD, ["no row"]),
        ("kind,first_frame,kind\nshot,0,1\n", ["line 1", "kind twice"]),
        (FOUND.replace("dissolve,", "disolve,"), ["line 3", "did you mean dissolve"]),
        (FOUND.replace(",26,49,", ",x,49,"), ["line 3", "first_frame is 'x'"]),
        (FOUND.replace(",26,49,", ",60,49,"), ["line 3", "before it begins"]),
        (FOUND.replace("26,49,00:00:01:01,", "30,49,00:00:01:06,"), ["line 3", "disagree"]),
        (FOUND.replace("00:00:01:01,", "00:00:01:25,"), ["line 3", "no time code at 25"]),
        (FOUND.replace(",50,74,", ",52,74,"), ["line 4", "frames 50 to 51 are in no row"]),
        (FOUND.replace(",50,74,", ",49,74,"), ["line 4", "line 3 ends at 49"]),
        (FOUND.replace(",0,25,", ",3,25,"), ["line 2", "begins at frame 3"]),
        (FOUND.replace(",75,,", ",75,80,"), ["line 5", "a cut has no last frame"]),
        (FOUND.replace(",49,00:00:01:01,00:00:01:24", ",,00:00:01:01,"), ["line 3", "last frame"]),
        (
            "".join(FOUND.splitlines(True)[n] for n in (0, 1, 3)),
            ["line 3", "no transition between"],
        ),
        (FOUND.replace("dissolve,", "fade,"), ["line 3", "plain colour"]),
        (FOUND.replace(",24,,,26", ",24,,black,26"), ["line 3", "#rrggbb"]),
        (FOUND.replace(",25,,,75..99", ",25,,,75..99,9,9,9"), ["line 6", "cells"]),
        ('kind,first_frame\nshot,"0\n', ["is not CSV"]),
    ],
    ids=lambda value: None if isinstance(value, str) else value[-1],
)
def test_wrong_lists_are_refused_with_the_line(text: str, says: list[str]) -> None:
    refused(text, *says)


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clip with a dissolve at 10 to 17 and a cut at 28; separations are stand-ins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(separate, "separate_transition", plain_answer)
    stack = np.concatenate([dissolve(moving(1, 28), moving(2, 28), 10, 8)[0], moving(3, 12)])
    return media.save(tmp_path / "film.mp4", stack)


def run(*words: object, out: str = "out", status: int = 0) -> dict[str, Any]:
    options = ["--task", "transition", "--out", out, "--no-progress"]
    assert main(["run", *map(str, words), *options]) == status
    found = json.loads(Path(out, "manifest.json").read_text()) if status == 0 else {}
    assert isinstance(found, dict)
    return found


def test_probe_writes_a_list_and_run_does_what_it_says(
    film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", str(film), "--transition", "10:17", "--csv", "list.csv"]) == 0
    text = Path("list.csv").read_text()
    assert [line.split(",")[0] for line in text.splitlines()] == (
        "kind shot dissolve shot cut shot".split()
    )
    moves = run(film, "--shots", "list.csv")["transitions"]
    assert [(move["kind"], move["first_frame"], move["last_frame"]) for move in moves] == [
        ("dissolve", 10, 17),
        ("cut", 28, 27),
    ]
    Path("list.csv").write_text(text.replace(",10,17,", ",9,18,"))
    edited = run(film, "--shots", "list.csv", out="edited")
    assert edited["transitions"][0]["first_frame"] == 9
    assert len(edited["transitions"][0]["mix"]) == 10
    # The manifest holds the list itself, so that it can be run again without the file.
    Path("list.csv").unlink()
    again = run(film, "--config", "edited/manifest.json", out="again")
    assert again["transitions"] == edited["transitions"] and again["settings"] == edited["settings"]
    capsys.readouterr()
    assert main(["probe", str(film), "--transition", "10:17", "--csv", "-"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.usually(3)
@pytest.mark.parametrize("kind", ["wipe", "iris", "push", "cover", "squeeze", "other", "dissolve"])
def test_the_kind_is_the_list_s(film: Path, kind: str) -> None:
    Path("list.csv").write_text(
        f"kind,first_frame,last_frame\nshot,0,9\n{kind},10,17\nshot,18,27\nshot,28,\n"
    )
    moves = run(film, "--shots", "list.csv")["transitions"]
    assert [move["kind"] for move in moves] == [kind, "cut"]


def test_an_edited_list_makes_another_run(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.csv").write_text("kind,first_frame,last_frame\nshot,0,27\nshot,28,\n")
    run(film, "--shots", "list.csv")
    Path("list.csv").write_text("kind,first_frame,last_frame\nshot,0,28\nshot,29,\n")
    capsys.readouterr()
    run(film, "--shots", "list.csv", status=2)
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind,first_frame,last_frame\nshot,0,50\n", "the clip at frame 39"),
        ("kind,first_frame,last_frame\nshot,0,37\ndissolve,38,45\n", "line 3"),
        ("kind,first_frame\nshott,0\n", "line 2"),
    ],
)
def test_a_list_of_another_clip_is_refused(
    film: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.csv").write_text(text)
    run(film, "--shots", "list.csv", status=2)
    error = capsys.readouterr().err
    assert "--shots: " in error and says in error


def test_options_that_do_not_fit(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clip = mixed_clip()
    for words, says in (
        (["run", clip, "--task", "transition", "--shots", "no.csv"], "cannot be read"),
        (["run", clip, "--task", "dehaze", "--shots", __file__], "--shots has no meaning"),
        (["run", clip, "--shots", __file__, "--transition", "1:2"], "contradict"),
        (["probe", clip, "--csv", "-", "--json"], "standard output"),
        (["probe", clip, "--csv", tmp_path / "no" / "list.csv"], "cannot be written"),
    ):
        assert main([str(word) for word in words]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("effect", ["no\0such", "../../etc", "Wipe Left", "x" * 41])
def test_an_effect_is_a_plain_name(effect: str) -> None:
    head = "kind,first_frame,last_frame,effect\n"
    refused(f"{head}shot,0,9,\ndissolve,10,19,{effect}\nshot,20,99,\n", "line 3", "is no effect")


def test_a_list_of_plain_colors_alone_is_refused() -> None:
    refused("kind,first_frame,last_frame,color\ncolor,0,99,#00ff00\n", "line 2", "needs a shot")
