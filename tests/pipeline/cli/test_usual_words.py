"""Words that people type out of habit: they are understood, or the answer says what to type."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import media
import pytest
from clips import moving, plain_answer, read_clip

from pipeline.cli.main import main, with_verb
from pipeline.cli.verbs import VERBS
from pipeline.estimate.dry_run import plan_sentence
from pipeline.tasks.transition import separate
from pipeline.timeline.clock import check_times, frames_of
from pipeline.values import TimeCode, parse_budget, parse_span, parse_time, plain
from stages.errors import UsageError
from stages.media.clip import ClipInfo


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(separate, "separate_transition", plain_answer)


def error(capsys: pytest.CaptureFixture[str], *words: str, status: int = 2) -> str:
    """Return the one line that these words are answered with."""
    capsys.readouterr()
    assert main(list(words)) == status
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_file_without_a_verb_is_run(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(mixed_clip())
    assert main([clip, "--task", "transition", "--transition", "8:15", "--out", "out"]) == 0
    assert Path("out/manifest.json").exists()
    assert with_verb(["none.mp4"]) == ["none.mp4"]
    # A verb stays a verb, whatever lies in the folder.
    Path("probe").mkdir()
    assert with_verb(["probe", clip]) == ["probe", clip]


@pytest.mark.parametrize(
    ("word", "task"),
    [
        ("matting", "segment"),
        ("reflection", "transparency"),
        ("disolve", "transition"),
        ("fade", "transition"),
        ("Haze", "dehaze"),
        ("logo", "watermark"),
    ],
)
def test_other_names_of_tasks_are_named(
    word: str, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error(capsys, "run", "x.mp4", "--task", word)
    assert repr(word) in line and line.endswith(f"give {task}")


def test_words_that_are_like_nothing_get_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    line = error(capsys, "run", "x.mp4", "--task", "upscale")
    assert "is not known; choose" in line and "called" not in line


@pytest.mark.parametrize("words", [["run"], ["probe"], ["batch"], []], ids=str)
def test_addresses_are_named_as_such(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = error(capsys, *words, "https://example.org/film.mp4")
    assert "is an address; download it first" in line


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_the_version(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("unlayer ")


def test_times_as_people_write_them() -> None:
    assert parse_time("1s") == 1 and parse_time("2.5s") == Fraction(5, 2)
    assert parse_time("00:00:01:12") == TimeCode("00:00:01:12")
    assert str(parse_time("01:00:00;02")) == "01:00:00;02"


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1m", 60),
        ("1m30s", 90),
        ("2h", 7200),
        ("00:01:30", 90),
        ("0.5", 0.5),
    ],
)
def test_a_budget_is_a_time(word: str, seconds: float) -> None:
    assert parse_budget(word) == seconds


@pytest.mark.parametrize("word", ["", "0s", "1x", "m", "s", "-1s", "1m1m", "1:99"])
def test_other_budgets_are_refused(word: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="1m30s"):
        parse_budget(word)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)], ids=str)
def test_frames_are_named_by_times(rate: Fraction) -> None:
    whole = round(rate)
    info = ClipInfo(
        Path("a.mov"), 64, 48, 400, rate, 1 / rate, timecode=f"10:00:00:{whole - 1:02d}"
    )
    spans = {
        "48:71": (48, 71),
        "1s:2s": (whole, 2 * whole - 1),
        "0.1234567s:2s": (math.ceil(Fraction("0.1234567") * rate - Fraction(1, 2)), 2 * whole - 1),
        "2.5s-4s": (round(2.5 * rate), 4 * whole - 1),
        f"48-{2}s": (48, 2 * whole - 1),
        # The first frame has the last time code of its second.
        "10:00:01:02:10:00:02:00": (3, whole + 1),
        "10:00:01:02-1s": (3, whole - 1),
    }
    for word, frames in spans.items():
        assert frames_of(parse_span(word), info) == frames, word
        # A manifest has the word, and the word is read again.
        again = parse_span(str(plain(parse_span(word)))) if "s" in word else None
        assert again in (None, parse_span(word))
    for word in ("2s:1s", "10:00:02:00:10:00:01:00"):
        with pytest.raises(UsageError, match="holds no frame"):
            frames_of(parse_span(word), info)
    with pytest.raises(UsageError, match="no time code"):
        frames_of(parse_span(f"10:00:01:{whole}:10:00:02:00"), info)


def test_seconds_are_refused_where_frames_are_not_even() -> None:
    info = ClipInfo(Path("a.mkv"), 64, 48, 100, Fraction(25), Fraction(1, 25))
    times = [Fraction(number, 25) for number in range(100)]
    check_times([parse_span("1s:2s"), (3, 9)], info, times)
    uneven = [time * 2 if time > 1 else time for time in times]
    with pytest.raises(UsageError, match="not evenly spaced"):
        check_times([parse_span("1s:2s")], info, uneven)
    check_times([(25, 50)], info, uneven)


@pytest.mark.parametrize("trim", [[], ["--start", "0.4"]], ids=str)
def test_seconds_are_refused_with_and_without_a_start(
    trim: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = [3600 * place + (3600 if place > 12 else 0) * (place - 12) for place in range(24)]
    clip = media.save_vfr(tmp_path / "uneven.mp4", moving(1, 24), ticks)
    words = ["probe", str(clip), "--transition", "0.6s:1.2s", *trim]
    assert main(words) == 2
    assert "not evenly spaced" in capsys.readouterr().err
    assert main([*words[:3], "14:18", *trim]) == 0


def test_a_transition_is_named_by_seconds(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(mixed_clip())
    assert main(["run", clip, "--task", "transition", "--transition", "0.32s:0.64s"]) == 0
    (folder,) = Path().glob("*-transition")
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = manifest["transitions"]
    assert (entry["first_frame"], entry["last_frame"]) == (8, 15)
    assert manifest["settings"]["transition"] == ["8/25s:16/25s"]
    words = ["--config", str(folder / "manifest.json"), "--out", str(folder)]
    assert main(["run", clip, *words]) == 0
    assert "overlaps" in error(
        capsys, "run", clip, "--task", "transition", "--transition", "0s:1s", "--transition", "8:15"
    )


def test_a_part_is_named_by_time_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = moving(1, 40)
    clip = str(
        media.save(
            tmp_path / "in.mov", frames, timecode="10:00:00:00", **{"c:v": "libx264rgb", "qp": 0}
        )
    )
    words = ["run", clip, "--task", "transition", "--lossless", "--out", "out"]
    words += ["--start", "10:00:00:10", "--end", "10:00:01:05"]
    assert main(words) == 0
    manifest = json.loads(Path("out/manifest.json").read_text())
    (layer,) = manifest["layers"]
    assert (layer["first_frame"], layer["last_frame"]) == (10, 29)
    assert (read_clip(Path("out", layer["path"])) == frames[10:30]).all()
    assert manifest["settings"]["start"] == "10:00:00:10"
    # The manifest is a configuration, too.
    assert main(["run", clip, "--config", "out/manifest.json", "--out", "again"]) == 0
    for start, says in (
        ("10:00:00:30", "no time code at 25"),
        ("10:00:02:00", "is not before"),
        ("10:00:59:00", "its time codes are 10:00:00:00 to 10:00:01:14"),
        ("09:59:59:24", "has no frame with the time code 09:59:59:24; its time codes are 10:00:"),
        ("00:00:00:00", "its time codes are 10:00:00:00 to 10:00:01:14"),
    ):
        assert says in error(capsys, "probe", clip, "--start", start, "--end", "10:00:01:05")
    # An end may lie after the last frame, but not before the first one.
    assert main(["probe", clip, "--end", "10:10:00:00"]) == 0
    for end in ("09:00:00:00", "00:00:00:10"):
        assert "10:00:00:00 to 10:00:01:14" in error(capsys, "probe", clip, "--end", end)


@pytest.mark.parametrize(
    "word", ["nothing.mp4", "folder/film", "./film", "a b.mkv", "film.x.png", "/none/at/all"]
)
@pytest.mark.parametrize("before", [[], ["--quiet"], ["--no-progress", "--quiet"]], ids=str)
def test_a_missing_file_is_named_without_a_verb_too(
    before: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    says = f"{word}: there is no such file; check the name"
    assert error(capsys, *before, word, status=1) == f"unlayer: {says}"


@pytest.mark.parametrize("word", ["prob", "runn", "film", "v", "e.g."])
def test_other_words_are_taken_for_mistyped_verbs(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not a verb; choose run" in error(capsys, word, "in.mp4")


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["--quiet", "probe", "a.mp4"], ["probe", "--quiet", "a.mp4"]),
        (
            ["--quiet", "--debug", "run", "a", "--json"],
            ["run", "--quiet", "--debug", "a", "--json"],
        ),
        (["--json", "in.mp4"], ["run", "--json", "in.mp4"]),
        (["in.mp4", "--quiet"], ["run", "in.mp4", "--quiet"]),
        (["--help"], ["--help"]),
        (["--quiet", "help"], ["help", "--quiet"]),
        ([], []),
    ],
    ids=str,
)
def test_a_switch_may_stand_before_the_verb(words: list[str], ordered: list[str]) -> None:
    Path("in.mp4").write_bytes(b"")
    assert with_verb(words) == ordered


@pytest.mark.parametrize("words", [["--seed", "3", "run"], ["--task=segment", "run"], ["--quiet"]])
def test_other_options_before_the_verb_are_named(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{words[0]} stands before its verb; write the verb first" in error(capsys, *words)


def test_quiet_prints_nothing(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(mixed_clip()), "--task", "transition", "--transition", "8:15", "--out", "out"]
    capsys.readouterr()
    assert main(["run", *words, "--quiet", "--threads", "1"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["report", "out", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert "--threads: '0'" in error(capsys, "run", *words, "--threads", "0")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["run", "none.mp4", "--task", "transition"], 1),
        (["run", "none.mp4", "--task", "reflection"], 2),
        (["run", "none.mp4", "--seed", "x"], 2),
        (["batch", "none", "--task", "transition"], 2),
    ],
    ids=str,
)
def test_json_lines_end_with_an_event_on_failure(
    words: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--json"]) == status
    shown = capsys.readouterr()
    last = json.loads(shown.out.splitlines()[-1])
    assert last["event"] == "failed" and last["status"] == status
    assert shown.err == f"unlayer: {last['text']}\n"


def test_a_quiet_probe_prints_warnings_alone(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", str(mixed_clip()), "--task", "transition", "--quiet"]
    assert main([*words, "--csv", "shots.csv"]) == 0
    assert capsys.readouterr().out == "" and Path("shots.csv").exists()
    assert "contradict" in error(capsys, *words, "--json")


def test_a_plan_in_words() -> None:
    plan = {
        "pixels": 480 * 270,
        "levels": ((4, 120), (2, 70)),
        "turns": 2,
        "ties": (),
        "fit_steps": 0,
        "rounds": 1,
        "paper_steps": 0,
    }
    assert plan_sentence(plan, 1920, 1080) == (
        "at 480x270, then finished at full size: motion of both scenes, then 2 passes over the "
        "mixed frames"
    )
    more = {**plan, "ties": ((2, 30),), "rounds": 2, "fit_steps": 800}
    assert plan_sentence(more, 320, 240) == (
        "at full size: motion of both scenes, then 6 passes over the mixed frames; up to 800 steps "
        "of networks where motion leaves much open"
    )
    assert "4000 steps of the published" in plan_sentence({**plan, "paper_steps": 4000}, 64, 48)


@pytest.mark.parametrize("switch", ["--quiet", "--json", "--no-progress", "--debug"])
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_switches_before_what_stands_alone_are_nothing(
    switch: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([switch, word]) == 0
    assert capsys.readouterr().out


def test_a_missing_file_is_named_though_no_task_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert main(["run", "none.mp4"]) == 1
    assert "none.mp4: there is no such file" in capsys.readouterr().err
