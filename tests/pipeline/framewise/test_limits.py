"""Test what a frame-wise run is known to need before it begins."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.estimate.estimate import named_layers
from pipeline.estimate.sample_run import SampleRun
from pipeline.framewise import limits
from pipeline.settings import Settings
from pipeline.tasks import find_task
from stages.media.clip import ClipInfo

RECIPE = find_task("segment").recipe


def job(**options: Any) -> Any:
    """Return the job of a run on a clip of 64x48."""
    info = ClipInfo(Path("in.mkv"), 64, 48, 10, Fraction(25), Fraction(1, 25))
    settings = Settings(inputs=(Path("in.mkv"),), task="segment", **options)
    clip = SimpleNamespace(info=info, paths=(Path("in.mkv"),))
    return SimpleNamespace(clip=clip, settings=settings, work=Path())


def test_each_thing_needs_its_own_space_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RECIPE is not None
    asked: list[int] = []
    monkeypatch.setattr(limits, "check_disk", lambda folder, needed: asked.append(needed))
    one = limits.check_layers_fit(job(lossless=True), RECIPE, 10)
    five = limits.check_layers_fit(job(lossless=True, layers=5), RECIPE, 10)
    assert one == 3 * 48 * 64 * 10 * 3 // limits.LOSSLESS_RATIO
    # A foreground and a matte of each thing, and one background.
    assert five == 3 * 48 * 64 * 10 * 11 // limits.LOSSLESS_RATIO
    assert asked == [one, five]
    assert limits.check_layers_fit(job(layers=5), RECIPE, 10) == 0


def test_the_files_of_each_thing_are_named_before_the_run() -> None:
    def named(**options: Any) -> list[tuple[str, str]]:
        layers = named_layers(job(**options), RECIPE, SampleRun(100))
        return [(name, suffix) for name, _, suffix in layers]

    assert named() == [("foreground", ".mov"), ("background", ".mp4"), ("matte", ".mp4")]
    assert named(layers=2, lossless=True) == [
        ("foreground-001", ".mkv"),
        ("foreground-002", ".mkv"),
        ("background", ".mkv"),
        ("matte-001", ".mkv"),
        ("matte-002", ".mkv"),
    ]
    assert [name for name, _ in named(layers="auto")] == [
        "foreground-001",
        "background",
        "matte-001",
    ]
