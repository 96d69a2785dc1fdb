"""Frame-wise tasks that are stopped in any window go on in it."""

from __future__ import annotations

from pathlib import Path

import media
import pytest
import torch
from clips import moving
from interruptions import SIZE, clip, layers, stop_after, use_small_plans

from pipeline.cli.main import main
from pipeline.framewise.run import Output, Recipe, run_layered
from pipeline.run import execute as running
from pipeline.task import Task
from pipeline.tasks import names
from stages.context import Separation, SeparationContext
from stages.storage.checkpoint import Checkpoints


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_small_plans(monkeypatch, tmp_path)


def test_a_task_of_windows_goes_on_in_the_window_it_was_in(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def survey(sample: torch.Tensor, context: SeparationContext) -> dict[str, float]:
        return {"mean": float(sample.mean())}

    def separate(
        frames: torch.Tensor, facts: dict[str, float], context: SeparationContext
    ) -> Separation:
        calls.append(len(frames))
        context.checkpoints.compute_and_save("plan", lambda: 3)
        return Separation(
            {"one": frames * facts["mean"], "two": torch.rand(1, 1, *SIZE).clamp(0.2, 0.9)},
            frozenset({"two"}),
        )

    recipe = Recipe((Output("one"), Output("two")), survey, separate, window=6, overlap=2)
    task = Task("split", "", ("one", "two"), lambda job: run_layered(job, recipe))
    monkeypatch.setattr("pipeline.tasks.check_name", lambda name: None)
    monkeypatch.setattr(running, "find_task", lambda name: task)
    words = ("run", str(clip()), "--task", "split", "--no-progress", "--lossless", "--out")
    torch.manual_seed(0)
    assert main([*words, "whole"]) == 0
    windows = len(calls)
    torch.manual_seed(0)
    keep = Checkpoints.save
    for _ in range(20):
        monkeypatch.setattr(Checkpoints, "save", keep)
        stop_after(monkeypatch, 1, KeyboardInterrupt)
        if main([*words, "cut", "--resume"]) == 0:
            break
    assert layers("cut") == layers("whole") and len(layers("whole")) == 3
    # Each window was done once, except the call that the plan's checkpoint stopped half way.
    assert len(calls) == windows + 2 * windows


@pytest.mark.usually(2)
@pytest.mark.parametrize("task", [name for name in names() if name != "transition"])
def test_every_task_of_windows_goes_on(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr("pipeline.framewise.run.max_window_frames", lambda *about: 3)
    media.save(Path("in.mkv"), moving(1, 4, (24, 32)))
    words = (
        "run",
        "in.mkv",
        "--task",
        task,
        "--no-progress",
        "--lossless",
        "--preset",
        "fast",
        "--max-seconds",
        "5",
        "--out",
    )
    keep, stops = Checkpoints.save, 0
    for _ in range(30):
        monkeypatch.setattr(Checkpoints, "save", keep)
        stop_after(monkeypatch, 1, KeyboardInterrupt)
        if main([*words, "cut", "--resume"]) == 0:
            break
        stops += 1
    # The checkpoints are read by a run that has nothing left to do but to write.
    assert stops >= 3 and len(layers("cut")) >= 3
