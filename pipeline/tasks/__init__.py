"""The tasks: one file each, found by its name. A file ``pipeline/tasks/<name>.py`` with a :data:`TASK` is a task; nothing else knows of it.

A task reads the job's clip, writes its layers into the job's work folder and returns what it wrote; the run around it
(:mod:`pipeline.run`) owns the folder, the clock, the manifest and what is printed.
"""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.progress import Stages
from pipeline.settings import Settings, nearest, options
from stages.errors import UsageError

if TYPE_CHECKING:
    import torch

    from stages.checkpoint import Checkpoints
    from stages.read import Clip
    from stages.trace import Curves

TASK_OPTIONS = ("alpha", "hint", "space", "transition")
"""Settings that only some tasks have a use for; elsewhere they are refused rather than ignored."""


@dataclass(frozen=True)
class Layer:
    """One layer file. ``path`` lies in the work folder; the run moves it into its folder under the same name. Frames are inclusive."""

    name: str
    role: str
    path: Path
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class Fit:
    """What was fitted to the frames ``first_frame`` to ``last_frame``, and its losses as :class:`stages.trace.Trace` has them."""

    name: str
    first_frame: int
    last_frame: int
    curves: Curves


@dataclass(frozen=True)
class Budget:
    """The seconds a run may take, from its start. ``total`` is ``None`` where there is no bound."""

    total: float | None = None
    began: float = field(default_factory=time.monotonic)

    def spent(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def left(self) -> float | None:
        """Seconds left, never below zero; ``None`` without a bound."""
        return None if self.total is None else max(0.0, self.total - self.spent())


@dataclass(frozen=True)
class Job:
    """What a task gets: the open clip, the settings, a folder for layers and temporaries, the stages to report to, the time it has,
    and where to keep what a killed run should not lose."""

    clip: Clip
    settings: Settings
    device: torch.device
    work: Path
    stages: Stages
    budget: Budget
    keep: Checkpoints


@dataclass(frozen=True)
class Result:
    """What a task made.

    frames: how many frames the clip turned out to have; ``None`` where only a part was read.
    transitions: as the manifest has them. sheets: pictures for people, in the work folder. report: figures for the manifest.
    fits: the losses on the way.
    """

    layers: tuple[Layer, ...]
    frames: int | None = None
    transitions: tuple[Mapping[str, object], ...] = ()
    sheets: tuple[Path, ...] = ()
    report: Mapping[str, object] = field(default_factory=dict)
    fits: tuple[Fit, ...] = ()


@dataclass(frozen=True)
class Parts:
    """How a run is spread over machines: ``count`` says of how many parts it is, ``do`` does one of them. What they find is kept in the
    job's checkpoints, where the task's ``run`` finds it instead of doing it."""

    count: Callable[[Job], int]
    do: Callable[[Job, int], None]


@dataclass(frozen=True)
class Task:
    """A task: what it is called, in one line; which of :data:`TASK_OPTIONS` it uses; the roles of its layers; how to do it; in parts,
    where it has any."""

    name: str
    help: str
    roles: tuple[str, ...]
    run: Callable[[Job], Result]
    uses: frozenset[str] = frozenset()
    parts: Parts | None = None


def names() -> tuple[str, ...]:
    """The names of all tasks there are."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find_task(name: str) -> Task:
    """The task called ``name``. Raises UsageError where there is none."""
    if not name:
        raise UsageError(f"--task is missing; choose {', '.join(names())}")
    if name not in names():
        raise UsageError(f"--task {name!r} is not known; choose {', '.join(names())}{nearest(name, names())}")
    task = import_module(f"{__name__}.{name}").TASK
    assert isinstance(task, Task)
    return task


def check_options(task: Task, settings: Settings) -> None:
    """Raises UsageError for an option that was given and that the task has no use for."""
    for item in options("run"):
        if item.name in TASK_OPTIONS and item.name not in task.uses and getattr(settings, item.name) != item.default:
            raise UsageError(f"--{item.name} has no meaning for --task {task.name}; leave it out")
