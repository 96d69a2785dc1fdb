"""Test ``--dry-run`` of several tasks and without a task: what would be done, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.cli.main import main
from pipeline.estimate import dry_chain, dry_run
from pipeline.settings import Settings


@pytest.fixture
def estimated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Settings]:
    """Let every task cost two seconds, and return the settings that were estimated."""
    asked: list[Settings] = []

    def estimate(settings: Settings, stages: Any) -> dict[str, Any]:
        asked.append(settings)
        return {"task": settings.task, "seconds": {"total": 2.0}}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dry_run, "estimate_run", estimate)
    return asked


def foreseen(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["run", *words, "--dry-run", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_task_of_a_list_is_foreseen(
    mixed_clip: Callable[..., Path], estimated: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(mixed_clip())
    before = sorted(Path().iterdir())
    words = [clip, "--task", "dehaze,transition", "--codec", "png", "--max-seconds", "1m"]
    told = foreseen(capsys, *words)
    assert [step["task"] for step in told["steps"]] == ["dehaze", "transition"]
    assert told["seconds"]["total"] == 4
    # Each step is estimated with the settings that it would have.
    assert [one.max_seconds for one in estimated] == [30, 30]
    assert [(one.lossless, one.codec) for one in estimated] == [(True, None), (False, "png")]
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("names", [["watermark", "transition"], ["dehaze"], []], ids=str)
def test_without_a_task_the_clip_decides(
    names: list[str],
    mixed_clip: Callable[..., Path],
    estimated: list[Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    why = [f"found it: --task {name}" for name in names]
    monkeypatch.setattr(dry_chain, "choose_tasks", lambda *given: (names, why, []))
    monkeypatch.setattr(dry_run, "print_estimate", lambda facts: print(facts["task"]))
    clip = str(mixed_clip())
    told = foreseen(capsys, clip)
    assert told["why"] == why and [one.task for one in estimated] == names
    assert main(["run", clip, "--dry-run", "--no-progress"]) == 0
    shown = capsys.readouterr().out
    assert all(line in shown for line in (*why, *names))
    assert ("nothing was found" in shown) == (not names)


@pytest.mark.parametrize("names", [["watermark", "dehaze"], []], ids=str)
def test_the_tasks_of_single_pictures_are_foreseen(
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number, size in enumerate(((24, 16), (16, 24))):
        Image.new("RGB", size, "gray").save(f"photos/{number}.png")
    monkeypatch.setattr(dry_chain, "choose_tasks", lambda *given: (names, names, []))
    monkeypatch.setattr(
        dry_run,
        "estimate_run",
        lambda settings, stages: dry_run.planned_run(settings).facts | {"seconds": {"total": 2.0}},
    )
    told = foreseen(capsys, "photos")
    assert told["seconds"] * told["jobs"] == 4 * len(names)
    assert [clip["does"] for clip in told["clips"]] == [bool(names)] * 2
    for clip in told["clips"]:
        assert clip["tasks"] == names
        assert (f"{', '.join(names)}: new" if names else "nothing was found") in clip["folder"]
    # The folder is given in either way.
    assert main(["batch", "photos", "--dry-run", "--task", "auto"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not Path("photos-auto").exists()
