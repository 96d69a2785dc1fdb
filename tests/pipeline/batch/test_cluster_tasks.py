"""Test what a batch asks of Ray, without Ray: a fake runs each task when it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import distributed_run
from pipeline.batch.clips import BatchClip
from pipeline.batch.display import QuietDisplay
from pipeline.batch.ray_cluster import RETRIES, RayCluster
from pipeline.settings import Settings
from stages.errors import UnlayerError


class FakeRemote:
    """A remote function of Ray, as far as it is used; calling it returns a reference."""

    def __init__(self, ray: FakeRay, work: Callable[..., Any]) -> None:
        self.ray, self.work, self.name = ray, work, ""

    def options(self, name: str) -> FakeRemote:
        self.name = name
        return self

    def remote(self, *words: Any) -> str:
        reference = f"{self.name} {len(self.ray.asked)}"
        self.ray.asked[reference] = lambda: self.work(*words)
        return reference


class FakeRay:
    """Does one task each time it is waited for, in the order of submission."""

    def __init__(self) -> None:
        self.asked: dict[str, Callable[[], Any]] = {}
        self.taken: list[dict[str, Any]] = []
        self.cancelled: list[str] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4}

    def remote(self, **takes: Any) -> Callable[[Callable[..., Any]], FakeRemote]:
        self.taken.append(takes)
        return lambda work: FakeRemote(self, work)

    def wait(
        self, references: list[str], num_returns: int, timeout: float
    ) -> tuple[list[str], list[str]]:
        return references[:1], references[1:]

    def get(self, reference: str) -> Any:
        return self.asked.pop(reference)()

    def cancel(self, reference: str, recursive: bool) -> None:
        self.cancelled.append(reference)


def run(
    monkeypatch: pytest.MonkeyPatch, do: Callable[[Settings, int], list[str]], **more: Any
) -> tuple[FakeRay, BatchClip]:
    """Run a clip of three parts."""
    given = Settings(inputs=(Path("clips"),), task="transition", out=Path("out"), **more)
    monkeypatch.setattr(distributed_run, "prepare", lambda settings: (3, ["it was begun anew"]))
    monkeypatch.setattr(distributed_run, "do_part", do)
    monkeypatch.setattr(
        distributed_run, "finish", lambda settings: (True, ["it was begun anew", "no sound"])
    )
    ray = FakeRay()
    ended: list[BatchClip] = []
    clip = BatchClip(Path("clips/a.mp4"), Path("out/a-transition"))
    cluster = RayCluster(given, ray)
    cluster.run([clip], QuietDisplay(), ended.append)
    assert ended == [clip] and clip.seconds > 0
    return ray, clip


def test_a_task_takes_what_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, clip = run(monkeypatch, lambda settings, number: [], ray_cpus=2.0, ray_gpus=0.25)
    assert (clip.status, clip.error, clip.warnings) == (
        "done",
        "",
        ["it was begun anew", "no sound"],
    )
    assert len(ray.taken) == 5 and ray.cancelled == []
    assert all(
        takes
        == {"num_cpus": 2.0, "num_gpus": 0.25, "max_retries": RETRIES, "retry_exceptions": False}
        for takes in ray.taken
    )


def test_a_failed_part_cancels_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def do(settings: Settings, number: int) -> list[str]:
        if number == 1:
            raise UnlayerError("a.mp4: is damaged at frame 7")
        assert number == 0, "the third part must not begin"
        assert settings.resume and settings.anew
        return ["frames 4 to 7: the memory was too small"]

    ray, clip = run(monkeypatch, do)
    assert (clip.status, clip.error) == ("failed", "a.mp4: is damaged at frame 7")
    assert clip.warnings == ["it was begun anew", "frames 4 to 7: the memory was too small"]
    assert len(ray.cancelled) == 1 and ray.cancelled[0].startswith("part a.mp4")
