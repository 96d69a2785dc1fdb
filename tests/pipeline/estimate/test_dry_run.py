"""``--dry-run``: says what the run then does, writes nothing, and what it estimates is near."""

from __future__ import annotations

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
from pipeline.estimate import dry_batch, estimate

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs that need no measuring."""

    class Known:
        paper, fit = 0.5, 0.01

        def __init__(self, *words: object, **more: object) -> None:
            pass

        def of(self, plan: Any, count: int) -> float:
            return 0.25 * count + plan.fit_steps * self.fit

    monkeypatch.setattr("pipeline.tasks.transition.dry_run.Costs", Known)


def dry(*words: object) -> dict[str, Any]:
    """What ``--dry-run --json`` says."""
    return told("run", *words)


def told(verb: str, *words: object) -> dict[str, Any]:
    """What the verb's ``--dry-run --json`` says."""
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main([verb, *map(str, words), "--dry-run", "--json"]) == 0
    answer: dict[str, Any] = json.loads(text.getvalue())
    return answer


@pytest.mark.usefixtures("quick")
def test_a_transition(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = mixed_clip()
    words = [clip, "--task", "transition", "--transition", "8:15", "--lossless", "--out", "out"]
    facts = dry(*words)
    assert [entry.name for entry in tmp_path.iterdir()] == [clip.name]
    assert (facts["event"], facts["frames"], facts["width"], facts["height"], facts["folder"]) == (
        "dry_run",
        24,
        64,
        48,
        "new",
    )
    assert facts["plans"][0]["fit_steps"] == 600
    # 8 mixed frames, and half of what the networks would take on top of them.
    assert facts["seconds"]["most"] - facts["seconds"]["least"] == pytest.approx(6.0, abs=0.11)
    assert facts["seconds"]["least"] <= facts["seconds"]["total"] <= facts["seconds"]["most"]
    assert facts["seconds"]["stages"]["separate"] == pytest.approx(2.0)
    assert facts["memory"] > 2**28 and "estimates" in facts["notes"][0]
    monkeypatch.setattr("pipeline.tasks.transition.run.separate_transition", plain_answer)
    assert main(["run", *map(str, words), "--no-progress"]) == 0
    whole = json.loads(Path("out/manifest.json").read_text())
    assert facts["layers"] == whole["layers"] and facts["settings"] == whole["settings"]
    assert [move["first_frame"] for move in facts["transitions"]] == [8]
    assert "nothing would be done" in dry(*words)["folder"]
    assert main(["run", *map(str, words), "--seed", "4", "--dry-run", "--json"]) == 2, (
        "as the run itself would be"
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

    monkeypatch.setattr("pipeline.tasks.transition.run.separate_transition", stop)
    assert main(["run", *map(str, words), "--no-progress"]) == 130
    before = sorted(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    assert main(["run", *map(str, words), "--dry-run", "--json"]) == 2
    assert "would go on" in dry(*words, "--resume")["folder"]
    assert before == sorted(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    facts = dry(clip, "--task", "transition", "--transition", "8:15", "--max-seconds", 1)
    assert facts["seconds"]["total"] <= 1 and facts["plans"][0]["fit_steps"] == 0
    facts = dry(clip, "--task", "transition", "--transition", "8:15", "--preset", "paper")
    assert facts["seconds"]["stages"]["networks"] == 2000


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
    # A range that was given is seen, wherever it is.
    facts = dry(mixed_clip(), "--task", "transition", "--transition", "8:15")
    assert facts["frames"] == 24 and len(facts["notes"]) == 1


@pytest.mark.parametrize("task", ["dehaze", "watermark"])
def test_a_task_of_frames(task: str, tmp_path: Path) -> None:
    save(Path("in.mkv"), moving(1, 5, (24, 40)))
    facts = dry("in.mkv", "--task", task, "--lossless", "--preset", "fast", "--out", "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.mkv"]
    assert facts["frames"] == 5 and set(facts["seconds"]["stages"]) == {
        "survey",
        "separate",
        "files",
    }
    assert (
        main(
            [
                "run",
                "in.mkv",
                "--task",
                task,
                "--lossless",
                "--preset",
                "fast",
                "--out",
                "out",
                "--no-progress",
            ]
        )
        == 0
    )
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


def test_a_piece_that_takes_too_long_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MEASURE", -1.0)
    save(Path("in.mkv"), moving(1, 5, (24, 40)))
    facts = dry("in.mkv", "--task", "dehaze")
    assert "wrong by several times" in facts["notes"][1]
    assert [layer["role"] for layer in facts["layers"]] == ["clear", "transmission", "airlight"]


def test_what_is_left_of_a_piece_goes_on_as_its_last_part_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter((0.0, 0.0, 0.0, 1.0, 2.0, 4.0, 6.0, 6.0))
    monkeypatch.setattr(estimate, "time", SimpleNamespace(monotonic=lambda: next(now)))
    watch = estimate._Watch(until=5.0)
    watch.begin("separate")
    watch.step("separate", 0.0, "motion")
    watch.step("separate", 0.2, "votes")
    watch.step("separate", 0.3, "networks")
    watch.step("separate", 0.4, "networks")
    with pytest.raises(estimate._EnoughError):
        watch.step("separate", 0.5, "networks")
    watch.end("separate", 6.0)
    # Half is left, at 2 seconds a tenth.
    watch.guess()
    assert watch.spent == pytest.approx(
        {"": 0.0, "motion": 1.0, "votes": 1.0, "networks": 4.0 + 10.0}
    )


def test_parts_of_a_size_of_their_own_do_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.tasks import segment

    def apart(job: Any, task: Any, count: int, pixels: int, until: float) -> Any:
        return estimate._Piece(pixels, 0.0, {"networks": 4.0, "background": 1.0}, whole=False)

    monkeypatch.setattr(estimate, "_take_apart", apart)
    save(Path("in.mkv"), moving(1, 3, (240, 320)))
    seconds = dry("in.mkv", "--task", "segment")["seconds"]["stages"]
    # The piece is as large as the networks' own pictures.
    pixels, limit = 240 * 320, segment.RECIPE.limits["networks"]
    expected = 4 + (pixels / limit) ** estimate.GROWTH
    assert estimate.SMALL < limit < pixels and seconds["separate"] == pytest.approx(
        expected, abs=0.06
    )


def test_limits_are_of_notes_that_are_told() -> None:
    from pipeline.tasks import segment

    told: list[str] = []
    with separate(
        moving(1, 4, (24, 40)),
        "segment",
        preset="fast",
        progress=lambda stage, done, note: told.append(note),
    ):
        assert set(segment.RECIPE.limits) <= set(told)


@pytest.mark.usefixtures("quick")
def test_for_people(mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "run",
                str(mixed_clip()),
                "--task",
                "transition",
                "--transition",
                "8:15",
                "--dry-run",
                "--no-progress",
            ]
        )
        == 0
    )
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


def test_what_a_run_refuses_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words, status, says in (
        (["none.mp4", "--task", "transition"], 1, "none.mp4"),
        (["none.mp4", "--task", "transition", "--alpha", "png"], 2, "--alpha"),
        (["x.mp4", "--task", "dehaze", "--out", "x.mp4"], 2, "is the input itself"),
    ):
        assert main(["run", *words, "--dry-run"]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("unlayer: ") and says in line
    (tmp_path / "clips").mkdir()
    assert main(["batch", "clips", "--task", "dehaze", "--dry-run"]) == 2
    assert "clips: has no clip" in capsys.readouterr().err


def test_a_folder_that_a_run_refuses_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("in.mkv"), moving(1, 5, (24, 40)))
    for name in ("taken", "other"):
        Path(name).mkdir()
    Path("taken/clear.mp4").write_text("mine")
    Path("other/manifest.json").write_text("{}")
    Path("file").touch()
    for out, more, status, says in (
        ("taken", [], 2, "taken/clear.mp4: is in the way and not from a run of ours"),
        ("other", ["--overwrite"], 2, "is not one of ours"),
        ("file", [], 1, "file: cannot be used as the run's folder (is a file)"),
    ):
        words = ["run", "in.mkv", "--task", "dehaze", "--preset", "fast", "--out", out, *more]
        assert main([*words, "--dry-run"]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
        assert main([*words, "--no-progress"]) == status
        assert capsys.readouterr().err.splitlines() == [line]


def batch(*words: str) -> dict[str, Any]:
    """What ``batch --dry-run --json`` says."""
    return told("batch", *words)


def test_a_batch_says_what_it_would_do_with_each_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("clips").mkdir()
    for number, name in enumerate(("done", "half", "lost", "new", "other", "taken")):
        save(Path("clips", f"{name}.mkv"), moving(number, 4, (24, 40)))
    Path("clips/bad.mkv").write_text("no clip")
    words = ["--task", "dehaze", "--preset", "fast", "--no-progress"]
    assert main(["run", "clips/done.mkv", *words, "--out", "out/done-dehaze"]) == 0
    assert main(["run", "clips/other.mkv", *words, "--seed", "9", "--out", "out/other-dehaze"]) == 0
    assert main(["run", "clips/lost.mkv", *words, "--out", "out/lost-dehaze"]) == 0
    Path("out/lost-dehaze/clear.mp4").unlink()
    Path("out/half-dehaze/.work").mkdir(parents=True)
    Path("out/half-dehaze/.work/run.json").write_text('{"versions": ["0"]}')
    Path("out/taken-dehaze").mkdir()
    Path("out/taken-dehaze/clear.mp4").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    facts = batch("clips", *words, "--out", "out", "--jobs", "2")
    assert sorted(tmp_path.rglob("*")) == before
    clips = {Path(clip["path"]).stem: clip for clip in facts["clips"]}
    assert [name for name, clip in clips.items() if clip["does"]] == ["half", "lost", "new"]
    for name, says in {
        "bad": "would fail: clips/bad.mkv",
        "done": "finished: nothing would be done",
        "half": "would be begun again",
        "lost": "would be made again",
        "new": "new",
        "other": "replace it with --overwrite",
        "taken": "is in the way",
    }.items():
        assert says in clips[name]["folder"], name
    assert facts["jobs"] == 2 and facts["measured"] == 3
    assert facts["seconds"] == pytest.approx(
        sum(clips[name]["seconds"] for name in ("half", "lost", "new")) / 2, abs=0.1
    )
    assert all(
        clip["does"]
        for clip in batch("clips", *words, "--out", "out", "--overwrite")["clips"]
        if clip["path"][6:] not in ("bad.mkv", "taken.mkv")
    )


def test_clips_beyond_the_time_for_measuring_are_counted_by_their_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter((0.0, 0.0, 99.0))
    monkeypatch.setattr(dry_batch, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(
        dry_batch, "foreseen", lambda one, stages: {"frames": 4, "seconds": {"total": 8.0}}
    )
    Path("clips").mkdir()
    save(Path("clips/a.mkv"), moving(1, 4, (24, 40)))
    # Twice as many bytes: what follows the last packet is not looked at.
    Path("clips/b.mkv").write_bytes(
        Path("clips/a.mkv").read_bytes().ljust(2 * Path("clips/a.mkv").stat().st_size, b"\0")
    )
    assert main(["batch", "clips", "--task", "dehaze", "--dry-run", "--jobs", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "2 of 2 clips would be done, 1 at once, in about 24 s (1 of them by the sizes of their files); nothing was written"
        in out
    )


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_the_estimate_is_near(preset: str) -> None:
    words = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        str(ROOT / "samples/fade.mp4"),
        "--task",
        "transition",
        "--preset",
        preset,
    ]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    told = json.loads(
        subprocess.run(
            [*words, "--dry-run", "--json"], capture_output=True, check=True, env=env
        ).stdout
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*words, "--out", "out", "--no-progress"], capture_output=True, check=True, env=env
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # One thread's own time: what other programs take of the machine differs between the estimate and the run.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = 1024 * after.ru_maxrss
    assert seconds / 2.5 <= told["seconds"]["total"] <= seconds * 2.5, (
        f"{told['seconds']} estimated, {seconds:.1f} s taken"
    )
    assert memory / 2.5 <= told["memory"] <= memory * 2.5, (
        f"{told['memory'] / 2**20:.0f} MiB estimated, {memory / 2**20:.0f} taken"
    )
