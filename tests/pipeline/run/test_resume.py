"""A run that is stopped at any moment and resumed makes the bytes of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import media
import numpy as np
import pytest
from clips import dissolve, moving, plain_answer
from interruptions import SIZE, SMALL, WORDS, clip, layers, stop_after, use_small_plans

from pipeline.cli.main import main
from pipeline.run import execute as running
from stages.media.read import Clip
from stages.media.write import LayerWriter
from stages.optim.fit import fit
from stages.storage.checkpoint import Checkpoints
from stages.transition import plan
from stages.transition.separate import separate_transition

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_small_plans(monkeypatch, tmp_path)


def kept_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of all checkpoints that a whole run writes, in order."""
    names: list[str] = []
    keep = Checkpoints.save

    def spy(self: Checkpoints, name: str, value: object) -> None:
        names.append(name)
        keep(self, name, value)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", spy)
        assert main(["run", str(clip()), *WORDS, "--out", "whole"]) == 0
    return names


def test_stopped_after_every_checkpoint_and_resumed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = kept_files(monkeypatch)
    # The search; for each transition two levels of motion, its settling, networks, two rounds of
    # two turns and ties; its parts; the layers.
    assert names == [
        "find",
        *(["standing"] * 10 + ["parts"]) * 2,
        "scene-001",
        "scene-002",
        "scene-003",
    ]
    expected = layers("whole")
    assert len(expected) == 4
    keep, stops = Checkpoints.save, 0
    for _ in range(40):
        monkeypatch.setattr(Checkpoints, "save", keep)
        stop_after(monkeypatch, 1, KeyboardInterrupt)
        status = main(["run", "in.mkv", *WORDS, "--out", "cut", "--resume"])
        stops += status != 0
        if status == 0:
            break
        assert status == 130 and "--resume goes on" in capsys.readouterr().err
        assert not Path("cut/manifest.json").exists() and not layers("cut")
    # Each resumption does one more piece of work, and none is done twice.
    assert stops == len(names)
    assert layers("cut") == expected
    assert not Path("cut/.work").exists()


def test_finished_transitions_are_not_fitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    separate = separate_transition

    def spy(window: Any, move: Any, **more: Any) -> Any:
        fitted.append(move.first_frame)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return separate(window, move, **more)

    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", spy)
    assert main(["run", str(clip()), *WORDS, "--out", "out"]) == 130
    assert main(["run", "in.mkv", *WORDS, "--out", "out", "--resume"]) == 0
    assert fitted == [4, 12, 12]


@pytest.mark.usually(1)
@pytest.mark.parametrize("more", [[], ["--start", "0.04"]])
def test_layers_that_are_whole_are_not_written_again(
    monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """Writing starts at the first frame that a layer still needs."""
    assert main(["run", str(clip()), *WORDS, *more, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        keep = Checkpoints.save

        def stopping(self: Checkpoints, name: str, value: object) -> None:
            keep(self, name, value)
            if name == "scene-002":
                raise KeyboardInterrupt

        patch.setattr(Checkpoints, "save", stopping)
        assert main(["run", "in.mkv", *WORDS, *more, "--out", "cut"]) == 130
    read: list[int] = []
    stored_frames = Clip.stored_frames

    def spy(self: Clip, first: int = 0, *words: Any, **options: Any) -> Any:
        if self.info.path.name == "in.mkv" and not words and not options:
            read.append(first)
        return stored_frames(self, first, *words, **options)

    written: list[str] = []
    begin = LayerWriter.__init__

    def writer(self: LayerWriter, path: Path, *words: Any, **options: Any) -> None:
        written.append(path.name)
        begin(self, path, *words, **options)

    monkeypatch.setattr(Clip, "stored_frames", spy)
    monkeypatch.setattr(LayerWriter, "__init__", writer)
    assert main(["run", "in.mkv", *WORDS, *more, "--out", "cut", "--resume"]) == 0
    assert [name for name in written if name.startswith("scene")] == ["scene-003"] and read[0] == 12
    assert layers("cut") == layers("whole") and len(layers("whole")) == 4


@pytest.mark.usually(1)
@pytest.mark.parametrize("links", [True, False])
def test_stopped_in_the_report_the_layers_are_there_still(
    monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    if not links:
        monkeypatch.setattr("os.link", Mock(side_effect=OSError))
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.run.execute.with_report", Mock(side_effect=KeyboardInterrupt))
        assert main(["run", str(clip()), *WORDS, "--out", "out"]) == 130
    made = Mock(side_effect=LayerWriter)
    monkeypatch.setattr("pipeline.tasks.transition.write.LayerWriter", made)
    assert main(["run", "in.mkv", *WORDS, "--out", "out", "--resume"]) == 0
    assert made.call_count == (0 if links else 3)
    assert main(["run", "in.mkv", *WORDS, "--out", "whole"]) == 0
    assert layers("out") == layers("whole") and len(layers("out")) == 4
    assert not Path("out/.work").exists() and {
        path.stat().st_nlink for path in Path("out").glob("*.mkv")
    } == {1}


@pytest.mark.slow
def test_the_published_fit_goes_on_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "--task",
        "transition",
        "--transition",
        "4:7",
        "--preset",
        "paper",
        "--no-progress",
        "--lossless",
        "--end",
        "0.4",
    )
    assert main(["run", str(clip()), *words, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt)  # after the search and 16 steps
        assert main(["run", "in.mkv", *words, "--out", "cut"]) == 130
    steps: list[float] = []

    def spy(*given: Any, **more: Any) -> Any:
        steps.append(given[3].steps)
        return fit(*given, **more)

    monkeypatch.setattr("stages.published.transition.fit", spy)
    assert main(["run", "in.mkv", *words, "--out", "cut", "--resume"]) == 0
    assert steps == [4]
    assert layers("cut") == layers("whole")


def test_a_plan_by_the_clock_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    separate = separate_transition

    def spy(window: Any, move: Any, **more: Any) -> Any:
        seen.append(more["plan"])
        if len(seen) == 1:
            raise KeyboardInterrupt
        return separate(window, move, **more)

    def plans(mixture: Any, counts: Any, settings: Any) -> list[plan.Plan]:
        return [replace(SMALL, turns=1 + len(seen))] * len(counts)

    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", spy)
    monkeypatch.setattr("pipeline.tasks.transition.run.plans_for", plans)
    assert main(["run", str(clip()), *WORDS, "--out", "out", "--max-seconds", "60"]) == 130
    assert main(["run", "in.mkv", *WORDS, "--out", "out", "--max-seconds", "60", "--resume"]) == 0
    assert {item.turns for item in seen} == {1}


@pytest.mark.usually(1)
@pytest.mark.parametrize("change", ["input", "settings", "version"])
def test_another_runs_checkpoints_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 4, KeyboardInterrupt)
        assert main(["run", str(clip()), *WORDS, "--out", "out"]) == 130
    capsys.readouterr()
    more: list[str] = []
    if change == "input":
        media.save(Path("in.mkv"), moving(5, 20, SIZE))
    elif change == "settings":
        more = ["--seed", "3"]
    else:
        monkeypatch.setattr(running, "__version__", "9.9")
    status = main(["run", "in.mkv", *WORDS, *more, "--out", "out", "--resume"])
    said = capsys.readouterr().err
    assert status in (1, 2) and "--overwrite" in said and len(said.strip().splitlines()) == 1
    assert main(["run", "in.mkv", *WORDS, *more, "--out", "out", "--overwrite"]) == 0


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.parametrize("task", ["transition"])
def test_killed_again_and_again(tmp_path: Path, task: str) -> None:
    """SIGKILL at arbitrary moments, with the real plans and a real process."""
    a, b = (moving(seed, 24, (96, 128)) for seed in (1, 2))
    source = media.save(tmp_path / "in.mkv", dissolve(a, b, 8, 8)[0])
    words = [str(source), "--task", task, "--no-progress", "--lossless", "--transition", "8:15"]
    assert start(*words, "--out", str(tmp_path / "whole")).wait(600) == 0
    rng, kills = np.random.default_rng(0), 0
    while True:
        child = start(*words, "--out", str(tmp_path / "cut"), "--resume")
        try:
            assert child.wait(float(rng.uniform(3, 9)) + kills) == 0
            break
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
    assert kills >= 2 and layers(str(tmp_path / "cut")) == layers(str(tmp_path / "whole"))


@pytest.mark.slow
def test_a_replacement_that_was_stopped_goes_on_and_the_old_run_stays_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["run", str(clip()), *WORDS, "--out", "out"]) == 0
    before = layers("out")
    for more in ([], ["--seed", "5"]):
        with monkeypatch.context() as patch:
            stop_after(patch, 3, KeyboardInterrupt)
            assert main(["run", "in.mkv", *WORDS, *more, "--out", "out", "--overwrite"]) == 130
        assert layers("out") == before
        steps: list[str] = []
        keep = Checkpoints.save

        def spy(
            self: Checkpoints, name: str, value: object, steps: list[str] = steps, keep: Any = keep
        ) -> None:
            steps.append(name)
            keep(self, name, value)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", spy)
            assert main(["run", "in.mkv", *WORDS, *more, "--out", "out", "--resume"]) == 0
        assert steps and "find" not in steps, "it went on and did not begin again"
