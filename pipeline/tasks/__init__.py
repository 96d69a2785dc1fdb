"""The tasks: one file each, found by its name. A file ``pipeline/tasks/<name>.py`` with a :data:`TASK` is a task; nothing else knows of it.
So is what an installed package offers as an entry point of the group ``unlayer.tasks``: ``rain = "package.module:TASK"``.

A task reads the job's clip, writes its layers into the job's work folder and returns what it wrote; the run around it
(:mod:`pipeline.run.execute`) owns the folder, the clock, the manifest and what is printed.
"""

from __future__ import annotations

import pkgutil
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.progress import Stages
from pipeline.settings import Settings, nearest, options
from stages.errors import UnlayerError, UsageError

if TYPE_CHECKING:
    import torch

    from stages.checkpoint import Checkpoints
    from stages.media.read import Clip
    from stages.optim.loss_curves import Curves

TASK_OPTIONS = ("alpha", "hint", "space", "strength", "transition")
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
    """What was fitted to the frames ``first_frame`` to ``last_frame``, and its losses as
    :class:`stages.optim.loss_curves.Trace` has them."""

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
    transitions, colors: as the manifest has them. sheets: pictures for people, in the work folder. report: figures for the manifest.
    fits: the losses on the way.
    """

    layers: tuple[Layer, ...]
    frames: int | None = None
    transitions: tuple[Mapping[str, object], ...] = ()
    sheets: tuple[Path, ...] = ()
    report: Mapping[str, object] = field(default_factory=dict)
    fits: tuple[Fit, ...] = ()
    colors: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True)
class Parts:
    """How a run is spread over machines: ``count`` says of how many parts it is, ``do`` does one of them. What they find is kept in the
    job's checkpoints, in the folder that ``room`` names, where the task's ``run`` finds it instead of doing it."""

    count: Callable[[Job], int]
    do: Callable[[Job, int], None]
    room: Callable[[int], str]


@dataclass(frozen=True)
class Task:
    """A task: what it is called, in one line; which of :data:`TASK_OPTIONS` it uses; the roles of its layers; how to do it; in parts,
    where it has any; the recipe it is made of, where it is made of one; the presets whose work is done on the CPU, whatever the device."""

    name: str
    help: str
    roles: tuple[str, ...]
    run: Callable[[Job], Result]
    uses: frozenset[str] = frozenset()
    parts: Parts | None = None
    recipe: object = None
    on_cpu: frozenset[str] = frozenset()


GROUP = "unlayer.tasks"
"""The entry points that are tasks from outside."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}", re.ASCII)


def built_in() -> frozenset[str]:
    """The names of the project's own tasks."""
    return frozenset(module.name for module in pkgutil.iter_modules(__path__))


def offered() -> dict[str, list[EntryPoint]]:
    """What installed packages offer as tasks, by name. Names that could not be part of a folder's are left out."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if _NAME.fullmatch(point.name):
            same = found.setdefault(point.name, [])
            # A package that is installed twice is found twice.
            if (point.value, package_of(point)) not in [
                (other.value, package_of(other)) for other in same
            ]:
                same.append(point)
    return found


def package_of(point: EntryPoint) -> str:
    """The name of the package that offers a task."""
    return point.dist.name if point.dist is not None else "an unknown package"


def names() -> tuple[str, ...]:
    """The names of all tasks there are."""
    return tuple(sorted(built_in() | set(offered())))


def check_name(name: str) -> None:
    """Raises UsageError where there is no task called ``name``, or more than one from outside. Imports none."""
    if not name:
        raise UsageError(f"--task is missing; choose {', '.join(names())}")
    if name in built_in():
        return
    points = offered().get(name, [])
    if not points:
        raise UsageError(
            f"--task {name!r} is not known; choose {', '.join(names())}{nearest(name, names())}"
        )
    if len(points) > 1:
        packages = " and ".join(f"{package_of(point)} ({point.value})" for point in points)
        raise UsageError(f"--task {name} is offered by {packages}; uninstall all of them but one")


def hidden(name: str) -> str | None:
    """One line on what is offered under the name of a task of the project's own, which wins; ``None`` where nothing is."""
    points = offered().get(name, []) if name in built_in() else []
    packages = ", ".join(f"{package_of(point)} ({point.value})" for point in points)
    return (
        f"the task {name} of {packages} is not used: Unlayer has one of that name, which wins"
        if points
        else None
    )


def find_task(name: str) -> Task:
    """The task called ``name``. Raises UsageError where there is none, UnlayerError where one from outside cannot be loaded."""
    check_name(name)
    if name in built_in():
        task = import_module(f"{__name__}.{name}").TASK
        assert isinstance(task, Task)
        return task
    (point,) = offered()[name]
    try:
        task = point.load()
        if not isinstance(task, Task):
            raise TypeError(f"it is no pipeline.tasks.Task but {type(task).__name__}")
        if task.name != name:
            raise ValueError(f"it calls itself {task.name!r}, and its entry point {name!r}")
    except (Exception, SystemExit) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UnlayerError(
            f"--task {name}: {point.value} of {package_of(point)} cannot be loaded ({why}); update or uninstall that package"
        ) from error
    return task


@contextmanager
def blaming(name: str) -> Iterator[None]:
    """What a task from outside does wrong becomes one line that names it and its package; our own tasks' errors pass."""
    try:
        yield
    # What the machine lacks is nobody's fault; who runs the task says what to do about it.
    except (UnlayerError, MemoryError, OSError):
        raise
    except Exception as error:
        if name in built_in() or "memory" in str(error):
            raise
        (point,) = offered()[name]
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise UnlayerError(
            f"--task {name}: {point.value} of {package_of(point)} failed ({' '.join(why.split())}); --debug shows where, for its author"
        ) from error


def check_options(task: Task, settings: Settings) -> None:
    """Raises UsageError for an option that was given and that the task has no use for."""
    for item in options("run"):
        if (
            item.name in TASK_OPTIONS
            and item.name not in task.uses
            and getattr(settings, item.name) != item.default
        ):
            raise UsageError(f"--{item.name} has no meaning for --task {task.name}; leave it out")
