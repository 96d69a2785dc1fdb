"""What a batch asks of Ray and makes of its answers, without Ray: a stand-in does each task in this process when it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import distributed_run as parts
from pipeline.batch.clips import Item
from pipeline.batch.display import Quiet
from pipeline.batch.ray_cluster import RETRIES, Cluster
from pipeline.settings import Settings
from stages.errors import UnlayerError


class Task:
    """A remote function of Ray's, as far as it is used; calling it gives a reference."""

    def __init__(self, ray: Ray, work: Callable[..., Any]) -> None:
        self.ray, self.work, self.name = ray, work, ""

    def options(self, name: str) -> Task:
        self.name = name
        return self

    def remote(self, *words: Any) -> str:
        reference = f"{self.name} {len(self.ray.asked)}"
        self.ray.asked[reference] = lambda: self.work(*words)
        return reference


class Ray:
    """Does one task each time it is waited for, in the order they were asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, Callable[[], Any]] = {}
        self.taken: list[dict[str, Any]] = []
        self.cancelled: list[str] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4}

    def remote(self, **takes: Any) -> Callable[[Callable[..., Any]], Task]:
        self.taken.append(takes)
        return lambda work: Task(self, work)

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
) -> tuple[Ray, Item]:
    """A clip of three parts."""
    given = Settings(inputs=(Path("clips"),), task="transition", out=Path("out"), **more)
    monkeypatch.setattr(parts, "prepare", lambda settings: (3, ["it was begun anew"]))
    monkeypatch.setattr(parts, "do", do)
    monkeypatch.setattr(parts, "finish", lambda settings: (True, ["it was begun anew", "no sound"]))
    ray, item, ended = Ray(), Item(Path("clips/a.mp4"), Path("out/a-transition")), []
    Cluster("auto", given, given.ray_cpus, given.ray_gpus, ray).run([item], Quiet(), ended.append)
    assert ended == [item] and item.seconds > 0
    return ray, item


def test_what_a_task_takes_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, item = run(monkeypatch, lambda settings, number: [], ray_cpus=2.0, ray_gpus=0.25)
    assert (item.status, item.error, item.warnings) == (
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


def test_a_part_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def do(settings: Settings, number: int) -> list[str]:
        if number == 1:
            raise UnlayerError("a.mp4: is damaged at frame 7")
        assert number == 0, "the third is not begun any more"
        assert settings.resume and settings.anew
        return ["frames 4 to 7: the memory was too small"]

    ray, item = run(monkeypatch, do)
    assert (item.status, item.error) == ("failed", "a.mp4: is damaged at frame 7")
    assert item.warnings == ["it was begun anew", "frames 4 to 7: the memory was too small"]
    assert len(ray.cancelled) == 1 and ray.cancelled[0].startswith("part a.mp4")
