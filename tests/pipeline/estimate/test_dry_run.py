"""Test ``--dry-run``: it describes the run, writes nothing, and its estimates are close."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from clips import moving, plain_answer
from media import save

from pipeline import separate
from pipeline.cli.main import main
from pipeline.estimate import estimate, sample_run
from stages.transition.plan import Plan

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use fixed costs, which need no measuring."""

    class FixedCosts:
        alone_step, fit_step = 0.5, 0.01

        def __init__(self, *words: object, **more: object) -> None:
            pass

        def of(self, plan: Plan, count: int) -> float:
            return 0.25 * count + plan.fit_steps * self.fit_step

    monkeypatch.setattr("pipeline.tasks.transition.dry_run.Costs", FixedCosts)


def dry(*words: object) -> dict[str, Any]:
    """Return what ``run --dry-run --json`` prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main(["run", *map(str, words), "--dry-run", "--json"]) == 0
    answer: dict[str, Any] = json.loads(text.getvalue())
    return answer


@pytest.mark.usefixtures("quick", "whole_fits")
def test_a_transition(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = mixed_clip()
    words = [clip, "--task", "transition", "--transition", "8:15", "--lossless", "--out", "out"]
    facts = dry(*words)
    assert [entry.name for entry in tmp_path.iterdir()] == [clip.name]
    assert (facts["event"], facts["folder"]) == ("dry_run", "new")
    assert (facts["frames"], facts["width"], facts["height"]) == (24, 64, 48)
    assert facts["plans"][0]["fit_steps"] == 600
    # The most counts all steps of the networks, which may not be needed.
    assert facts["seconds"]["most"] - facts["seconds"]["least"] == pytest.approx(6.0, abs=0.11)
    assert facts["seconds"]["least"] <= facts["seconds"]["total"] <= facts["seconds"]["most"]
    assert facts["seconds"]["stages"]["separate"] == pytest.approx(2.0)
    assert facts["memory"] > 2**28 and "estimates" in facts["notes"][0]
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    assert main(["run", *map(str, words), "--no-progress"]) == 0
    whole = json.loads(Path("out/manifest.json").read_text())
    assert facts["layers"] == whole["layers"] and facts["settings"] == whole["settings"]
    assert [move["first_frame"] for move in facts["transitions"]] == [8]
    assert "nothing would be done" in dry(*words)["folder"]
    assert main(["run", *map(str, words), "--seed", "4", "--dry-run", "--json"]) == 2, (
        "refused, as the run itself would be"
    )
    assert "would be replaced" in dry(*words, "--seed", 4, "--overwrite")["folder"]


@pytest.mark.usefixtures("quick")
def test_an_interrupted_run_and_a_budget(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = mixed_clip()
    words = [clip, "--task", "transition", "--transition", "8:15", "--out", "out"]

    def stop(*more: object, **most: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", stop)
    assert main(["run", *map(str, words), "--no-progress"]) == 130
    before = sorted(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    assert main(["run", *map(str, words), "--dry-run", "--json"]) == 2
    assert "would be resumed" in dry(*words, "--resume")["folder"]
    assert before == sorted(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    facts = dry(clip, "--task", "transition", "--transition", "8:15", "--max-seconds", 1)
    assert facts["seconds"]["total"] <= 1 and facts["plans"][0]["fit_steps"] == 0
    facts = dry(clip, "--task", "transition", "--transition", "8:15", "--preset", "paper")
    assert facts["seconds"]["stages"]["networks"] == 2000
    facts = dry(clip, "--task", "transition", "--transition", "8:15", "--preset", "coupled")
    assert facts["seconds"]["stages"]["networks"] == 300


def test_a_clip_without_a_transition_needs_no_measuring() -> None:
    save(Path("in.mkv"), moving(1, 12))
    facts = dry("in.mkv", "--task", "transition")
    assert (
        facts["transitions"] == []
        and facts["plans"] == []
        and [layer["path"] for layer in facts["layers"]] == ["scene-001.mp4"]
    )
    assert facts["seconds"]["total"] < 20


@pytest.mark.usefixtures("quick")
def test_a_long_search_is_ended(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.dry_run.SEARCH_SECONDS", -1.0)
    save(Path("in.mp4"), moving(1, 60))
    facts = dry("in.mp4", "--task", "transition")
    assert "only 16 frames were searched" in facts["notes"][1] and facts["frames"] == 60
    # A range that the user gives is searched, wherever it is.
    facts = dry(mixed_clip(), "--task", "transition", "--transition", "8:15")
    assert facts["frames"] == 24 and len(facts["notes"]) == 1


@pytest.mark.parametrize("task", ["dehaze", "watermark"])
def test_a_task_of_frames(task: str, tmp_path: Path) -> None:
    save(Path("in.mkv"), moving(1, 5, (24, 40)))
    facts = dry("in.mkv", "--task", task, "--lossless", "--preset", "fast", "--out", "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.mkv"]
    assert facts["frames"] == 5
    assert set(facts["seconds"]["stages"]) == {"survey", "separate", "files"}
    words = f"run in.mkv --task {task} --lossless --preset fast --out out --no-progress"
    assert main(words.split()) == 0
    layers = json.loads(Path("out/manifest.json").read_text())["layers"]
    assert sorted(layer["path"] for layer in facts["layers"]) == sorted(
        layer["path"] for layer in layers
    )


def test_pictures_and_a_hint() -> None:
    pictures = moving(2, 2, (24, 32))
    for number, picture in enumerate(pictures):
        cv2.imwrite(f"{number}.png", picture)
    mark = np.zeros((24, 32, 3), np.uint8)
    mark[4:12, 4:16] = 255
    cv2.imwrite("hint.png", mark)
    facts = dry("0.png", "--task", "watermark", "--hint", "hint.png", "--preset", "fast")
    assert {layer["path"] for layer in facts["layers"]} == {
        "clean.png",
        "watermark.png",
        "matte.png",
    }
    facts = dry("0.png", "1.png", "--task", "watermark", "--preset", "fast")
    assert {"clean-001.png", "clean-002.png", "watermark.png"} <= {
        layer["path"] for layer in facts["layers"]
    }


def test_a_slow_sample_run_is_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MEASURE_SECONDS", -1.0)
    save(Path("in.mkv"), moving(1, 5, (24, 40)))
    facts = dry("in.mkv", "--task", "dehaze")
    assert "wrong by several times" in facts["notes"][1]
    assert [layer["role"] for layer in facts["layers"]] == ["clear", "transmission", "airlight"]


def test_the_rest_is_extrapolated_from_the_last_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter((0.0, 0.0, 0.0, 1.0, 2.0, 4.0, 6.0, 6.0))
    monkeypatch.setattr(sample_run, "time", SimpleNamespace(monotonic=lambda: next(now)))
    watch = sample_run.SampleProgress(deadline=5.0)
    watch.begin("separate")
    watch.step("separate", 0.0, "motion")
    watch.step("separate", 0.2, "votes")
    watch.step("separate", 0.3, "networks")
    watch.step("separate", 0.4, "networks")
    with pytest.raises(sample_run.OutOfTimeError):
        watch.step("separate", 0.5, "networks")
    watch.end("separate", 6.0)
    # Half is left, and a tenth took 2 seconds.
    watch.extrapolate()
    assert watch.seconds == pytest.approx(
        {"": 0.0, "motion": 1.0, "votes": 1.0, "networks": 4.0 + 10.0}
    )


def test_parts_with_a_fixed_size_cost_no_more_for_larger_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipeline.tasks import segment

    def measured(job: Any, task: Any, count: int, pixels: int, deadline: float) -> Any:
        parts = {"networks": 4.0, "background": 1.0}
        return sample_run.SampleRun(pixels, 0.0, parts, complete=False)

    monkeypatch.setattr(estimate, "run_sample", measured)
    save(Path("in.mkv"), moving(1, 3, (240, 320)))
    seconds = dry("in.mkv", "--task", "segment")["seconds"]["stages"]
    # The sample run has the size at which the networks' cost stops growing.
    pixels, limit = 240 * 320, segment.RECIPE.limits["networks"]
    expected = 4 + (pixels / limit) ** estimate.DEFAULT_GROWTH
    assert estimate.SMALL_PIXELS < limit < pixels and seconds["separate"] == pytest.approx(
        expected, abs=0.06
    )


def test_limits_belong_to_notes_that_are_reported() -> None:
    from pipeline.tasks import segment

    notes: list[str] = []
    with separate(
        moving(1, 4, (24, 40)),
        "segment",
        preset="fast",
        progress=lambda stage, done, note: notes.append(note),
    ):
        assert set(segment.RECIPE.limits) <= set(notes)


@pytest.mark.usefixtures("quick")
def test_the_printed_estimate(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--task transition --transition 8:15 --dry-run --no-progress".split()
    assert main(["run", str(mixed_clip()), *options]) == 0
    out = capsys.readouterr().out
    for says in (
        "64x48, 24 frames",
        "scene-002.mp4",
        "dissolve",
        "plan: ",
        "about ",
        "of memory at most",
        "nothing was written",
    ):
        assert says in out


def test_what_a_run_refuses_is_refused_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, status, says in (
        (["none.mp4", "--task", "transition"], 1, "none.mp4"),
        (["none.mp4", "--task", "transition", "--alpha", "png"], 2, "--alpha"),
        (["x.mp4", "--task", "dehaze", "--out", "x.mp4"], 2, "is the input itself"),
    ):
        assert main(["run", *words, "--dry-run"]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("unlayer: ") and says in line


def test_a_folder_that_a_run_refuses_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("in.mkv"), moving(1, 5, (24, 40)))
    for name in ("taken", "other"):
        Path(name).mkdir()
    Path("taken/clear.mp4").write_text("mine")
    Path("other/manifest.json").write_text("{}")
    Path("file").touch()
    Path("pictures/clear").mkdir(parents=True)
    Path("pictures/clear/notes.txt").write_text("mine")
    for out, more, status, says in (
        ("taken", [], 2, "taken/clear.mp4: is in the way and not from a run of ours"),
        (
            "pictures",
            ["--codec", "png"],
            2,
            "pictures/clear: is in the way and not from a run of ours",
        ),
        ("other", ["--overwrite"], 2, "is not one of ours"),
        ("file", [], 1, "file: cannot be used as the run's folder (is a file)"),
    ):
        words = ["run", "in.mkv", "--task", "dehaze", "--preset", "fast", "--out", out, *more]
        assert main([*words, "--dry-run"]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
        assert main([*words, "--no-progress"]) == status
        assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_the_estimate_is_near(preset: str) -> None:
    options = ["--task", "transition", "--preset", preset]
    words = [sys.executable, "-m", "pipeline", "run", str(ROOT / "samples/fade.mp4"), *options]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    estimated = json.loads(
        subprocess.run(
            [*words, "--dry-run", "--json"], capture_output=True, check=True, env=env
        ).stdout
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*words, "--out", "out", "--no-progress"], capture_output=True, check=True, env=env
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time of one thread: the load of the machine may differ between the two.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = 1024 * after.ru_maxrss
    assert seconds / 2.5 <= estimated["seconds"]["total"] <= seconds * 2.5, (
        f"{estimated['seconds']} estimated, {seconds:.1f} s taken"
    )
    assert memory / 2.5 <= estimated["memory"] <= memory * 2.5, (
        f"{estimated['memory'] / 2**20:.0f} MiB estimated, {memory / 2**20:.0f} taken"
    )
