"""Test how a watching batch finds clips that arrive or are replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.batch.batch import command
from pipeline.batch.clips import Arrivals, find_clips
from pipeline.settings import Settings


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**more: Any) -> Settings:
    return Settings(inputs=(Path("clips"),), task="transition", **more)


def touch(names: str) -> None:
    """Create files of one byte; their names are separated by spaces."""
    for name in names.split():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")


def test_watching_takes_clips_once_they_are_complete() -> None:
    now = [0.0]
    Path("clips").mkdir()
    arrivals = Arrivals(settings(watch=True), Path("out"), [], clock=lambda: now[0])

    def at(time: float) -> list[str]:
        now[0] = time
        return [clip.path.name for clip in arrivals.complete_clips()]

    assert at(0) == []
    touch("clips/a.mp4")
    assert at(2) == [] and at(4) == []
    Path("clips/a.mp4").write_bytes(b"longer")  # it is still being copied
    assert at(6) == [] and at(10) == [] and at(11.5) == ["a.mp4"] and at(20) == []


def test_watching_takes_changed_clips_again() -> None:
    """A clip whose upload had paused has failed; once complete, it is taken again.

    A clip that is running is left alone.
    """
    now = [0.0]
    touch("clips/a.mp4 clips/b.mp4")
    clips = find_clips(Path("clips"), Path("out"), settings())
    arrivals = Arrivals(settings(watch=True), Path("out"), clips, clock=lambda: now[0])

    def at(time: float) -> list[str]:
        now[0] = time
        assert arrivals.complete_clips() == []
        return [clip.status for clip in clips]

    clips[0].status, clips[1].status = "failed", "running"
    clips[0].error, clips[0].warnings = "is cut short", ["a warning"]
    assert at(2) == at(20) == ["failed", "running"]
    for clip in clips:
        clip.path.write_bytes(b"longer")
    assert at(30) == ["failed", "running"] and at(34) == ["failed", "running"]
    assert at(35.5) == ["waiting", "running"] and (clips[0].error, clips[0].warnings) == ("", [])
    clips[0].status, clips[1].status = "done", "failed"
    assert "--resume" in command(find_clips(Path("clips"), Path("out"), settings())[0], settings())
    assert "--overwrite" in command(clips[0], settings()), (
        "the finished run of the earlier file is replaced"
    )
    assert at(40) == ["done", "failed"] and at(46) == ["done", "waiting"]
