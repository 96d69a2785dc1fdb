"""Test ``bench``: its clips with known layers, its rows, its budget, and how the cost grows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bench import bench as module
from pipeline.bench.clips import KnownClip, Scene, rounded, width_of
from pipeline.bench.measure import clip_of, judge, measure
from pipeline.bench.rows import (
    FIGURES,
    BenchRow,
    growth,
    markdown,
    predicted_seconds,
    read_rows,
)
from pipeline.cli.main import main
from pipeline.task import BenchClip
from pipeline.tasks import built_in
from stages.errors import UnlayerError
from stages.media.read import open_clip
from stages.setting_values import PRESETS


def row(height: int = 144, frames: int = 20, **more: Any) -> BenchRow:
    known: dict[str, Any] = dict(
        task="transition",
        preset="fast",
        device="cpu",
        width=width_of(height),
        height=height,
        frames=frames,
    )
    return BenchRow(**{**known, **more})


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_scenes_move_and_are_reproducible() -> None:
    one, other = Scene(1, 72), Scene(1, 72)
    assert one.frame(3).shape == (72, 128, 3) and np.array_equal(one.frame(3), other.frame(3))
    assert np.abs(one.frame(3) - one.frame(13)).mean() > 0.01
    assert np.abs(one.frame(3) - Scene(2, 72).frame(3)).mean() > 0.1


def test_a_dissolve_is_a_mixture_of_its_layers() -> None:
    clip = clip_of("transition").make(36, 8)
    assert clip.judged == (2, 5) and clip.options == ("--transition", "2:5")
    a, b = (clip.truth(3)[name] for name in ("scene-001", "scene-002"))
    assert clip.mixed(3) == pytest.approx(0.6 * a + 0.4 * b, abs=1e-6)
    assert np.array_equal(clip.mixed(1), clip.truth(1)["scene-001"]) and np.array_equal(
        clip.mixed(6), clip.truth(6)["scene-002"]
    )
    held = clip.baseline(3)
    assert 0.6 * held["scene-001"] + 0.4 * held["scene-002"] == pytest.approx(
        rounded(clip.mixed(3)), abs=1e-5
    )


@pytest.mark.parametrize("task", sorted(built_in()))
def test_every_task_has_a_clip(task: str, tmp_path: Path) -> None:
    clip = clip_of(task).make(36, 4)
    info = open_clip([clip.write(tmp_path / "clip")]).info
    assert (info.width, info.height) == (64, 36)
    for index in range(4):
        pictures = [clip.mixed(index), *clip.truth(index).values()]
        assert all(
            picture.shape == (36, 64, 3) and picture.min() >= 0 and picture.max() <= 1
            for picture in pictures
        )


def test_sizes_are_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    module._BenchDisplay(False).close(
        [
            row(1080, 200, state="skipped"),
            row(144, 20, seconds=1234.5, cpu_seconds=1200.0, held=25.5, reached=36.5),
        ]
    )
    assert "1920x1080" in capsys.readouterr().out


def test_a_dissolve_needs_clean_frames_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    for frames in ("1", "60,2"):
        assert main(["bench", "--sizes", "36", "--frames", frames, "--preset", "fast"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "a dissolve needs 3 frames or more" in line
    clip = clip_of("transition").make(36, clip_of("transition").least_frames)
    assert clip.judged == (1, 1) and np.array_equal(clip.mixed(0), clip.truth(0)["scene-001"])


@pytest.mark.slow
def test_a_row_comes_from_a_real_run() -> None:
    made = measure(row(36, 12), 0, 120)
    assert made.state == "measured" and made.seconds > 0 and made.memory > 2**26
    assert made.held > 10 and made.reached > made.held and made.gain_per_second > 0
    assert {"find", "separate", "write"} <= set(made.stages) | {"find"}


def test_a_layer_that_was_not_found_is_judged_as_the_input(tmp_path: Path) -> None:
    clip: KnownClip = clip_of("transition").make(36, 8)
    (tmp_path / "manifest.json").write_text(json.dumps({"layers": []}))
    held, reached = judge(clip, tmp_path)
    errors = [
        np.mean((clip.mixed(index) - true) ** 2)
        for index in range(2, 6)
        for true in clip.truth(index).values()
    ]
    assert reached == pytest.approx(np.mean(-10 * np.log10(errors)), abs=1e-3) and held != reached


def test_growth_is_fitted_to_rows() -> None:
    rows = [
        row(height, frames, seconds=1e-4 * (height * width_of(height)) ** 0.7 * frames**1.1)
        for height in (72, 144)
        for frames in (20, 60)
    ]
    powers = growth(rows, FIGURES["seconds"])
    assert powers == pytest.approx((0.7, 1.1, 1.0))
    assert predicted_seconds(row(288, 200), rows) == pytest.approx(
        1e-4 * (288 * 512) ** 0.7 * 200**1.1, rel=0.5
    )
    assert growth(rows[:3], FIGURES["seconds"]) is None and growth(rows, FIGURES["memory"]) is None
    assert (
        growth([row(144, frames, seconds=1) for frames in (1, 2, 3, 4)], FIGURES["seconds"]) is None
    )


def test_a_row_that_exceeds_the_budget_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        module,
        "measure",
        lambda what, seed, left: row(
            what.height, what.frames, seconds=what.frames, held=20.0, reached=25.0
        ),
    )
    words = "bench --sizes 36p --frames 4,8,90 --max-seconds 50 --preset fast --json"
    assert main(words.split()) == 0
    *rows, grown = lines(capsys.readouterr().out)
    assert [item["state"] for item in rows] == [
        "measured",
        "measured",
        "skipped",
    ] and "of the budget 50 s are left" in str(rows[2]["note"])
    assert rows[0]["gain"] == 5 and grown["event"] == "growth" and grown["seconds"] is None


def test_a_run_that_takes_too_long_is_stopped() -> None:
    assert measure(row(36, 12), 0, 0.2).state == "stopped"


def test_a_run_that_fails_is_a_row_and_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = clip_of("transition").make(36, 8)
    wrong = BenchClip(lambda height, frames: replace(broken, options=("--transition", "7:99")))
    monkeypatch.setattr("pipeline.bench.measure.clip_of", lambda task: wrong)
    assert main(["bench", "--sizes", "36p", "--frames", "8", "--preset", "fast"]) == 1
    out, err = capsys.readouterr()
    assert "failed" in out and "--transition 7:99" in err


def test_kept_rows_are_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[tuple[int, int]] = []

    def fake(what: BenchRow, seed: int, left: float) -> BenchRow:
        done.append((what.height, what.frames))
        return row(
            what.height,
            what.frames,
            seconds=1.0,
            cpu_seconds=1.5,
            held=20.0,
            reached=30.5,
            memory=2**29,
        )

    monkeypatch.setattr(module, "measure", fake)
    words = [
        "bench",
        "--preset",
        "fast",
        "--frames",
        "20",
        "--rows",
        str(tmp_path / "rows.jsonl"),
        "--table",
        str(tmp_path / "table.md"),
    ]
    assert main([*words, "--sizes", "144p"]) == 0
    assert main([*words, "--sizes", "144p,240p"]) == 0
    assert done == [(144, 20), (240, 20)]
    table = (tmp_path / "table.md").read_text()
    assert (
        "| 256x144 | 20 | 1.0 | 1.5 | 20.0 | 30.5 | 10 | 512 MiB |" in table
        and "too few rows" in table
    )
    assert "256x144" in capsys.readouterr().out
    assert len(read_rows(tmp_path / "rows.jsonl")) == 2


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("{}\n")
    with pytest.raises(UnlayerError, match="line 1 is no row"):
        read_rows(tmp_path / "rows")


def test_the_table_lists_what_was_not_measured() -> None:
    text = markdown(
        [
            row(seconds=2.0, memory=2**20),
            row(1080, 200, state="skipped", note="about 900 s, of the budget 10 s are left"),
        ]
    )
    assert "| 1920x1080 | 200 | skipped | about 900 s, of the budget 10 s are left |" in text


@pytest.mark.parametrize(
    "words",
    [
        ["--sizes", "big"],
        ["--frames", "0"],
        ["--task", "transitoin"],
        ["--frames", "20,"],
        ["clip.mp4"],
    ],
)
def test_wrong_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unlayer: ") and set(PRESETS)
