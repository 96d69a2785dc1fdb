"""Plan a run of several tasks: their names, the options of each step, and the steps' folders.

``--task watermark,transition`` names the tasks, and ``--task auto`` (or no ``--task``) lets the
diagnoses choose them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.option_fields import flag
from pipeline.settings import Settings, options
from pipeline.task import TASK_OPTIONS, Task
from pipeline.tasks import AUTO, check_options, find_task, task_names
from stages.errors import UsageError

READING_SETTINGS = ("stream", "start", "end", "salvage", "interlaced")
"""Settings that say how the input is read. They hold for the first step alone."""
ONE_TASK_SETTINGS = ("hint", "hint_background")
"""Settings that at most one task of a chain may use.

They mean another thing for each task, such as the place of a mark or of an object.
"""
NAMED_TASK_SETTINGS = ("force", "hint", "hint_background", "mark", "shots", "transition")
"""Settings that need a named task, because they say where the thing is that it takes out."""


def is_chain(settings: Settings) -> bool:
    """Return whether the settings ask for several tasks, or let the diagnoses choose them."""
    return settings.task == AUTO or "," in settings.task


def check_task_options(settings: Settings) -> None:
    """Raise UsageError for an option that the task or tasks cannot use."""
    if is_chain(settings):
        check_chain_options(settings)
    else:
        check_options(find_task(settings.task), settings)


def check_chain_options(settings: Settings) -> None:
    """Raise UsageError for an option that no task of the chain uses, or that several would."""
    for name in ("store", "ray", "refine"):
        if getattr(settings, name) is not None:
            raise UsageError(
                f"--{name} does one task at a time; give one --task, or leave --{name} out"
            )
    if settings.task == AUTO:
        _check_auto_options(settings)
        return
    tasks = [find_task(name) for name in task_names(settings.task)]
    _check_each_has_user(settings, tasks)
    for task in tasks[1:] if settings.start is not None else ():
        check_frame_options(settings, task)
    for task in tasks:
        alone = step_settings(settings, task, settings.inputs, settings.out, StepPlace())
        check_options(task, alone)


def _check_auto_options(settings: Settings) -> None:
    """Raise UsageError for an option that needs a named task."""
    for item in settings.given():
        if item.name in NAMED_TASK_SETTINGS:
            raise UsageError(
                f"{flag(item)} says where one task's thing is, and --task does not name the "
                "task; give --task too"
            )


def _check_each_has_user(settings: Settings, tasks: Sequence[Task]) -> None:
    """Raise UsageError for an option that none of ``tasks`` uses, or that several would.

    Several tasks may use most options; those of :data:`ONE_TASK_SETTINGS` only one.
    """
    for item in settings.given():
        if item.name not in TASK_OPTIONS:
            continue
        users = list(dict.fromkeys(task.name for task in tasks if item.name in task.uses))
        if not users:
            raise UsageError(
                f"{flag(item)} has no meaning for --task {settings.task}; leave it out"
            )
        if item.name in ONE_TASK_SETTINGS and len(users) > 1:
            raise UsageError(
                f"{flag(item)} means another thing for each of {' and '.join(users)}; "
                "do these tasks in runs of their own"
            )


def check_frame_options(settings: Settings, task: Task) -> None:
    """Raise UsageError for an option of ``task`` that counts frames of the chain's input.

    This is for a step whose input begins later, or is one of several layers. It would take the
    numbers for frames of its own input.
    """
    for item in settings.given():
        if item.name in NAMED_TASK_SETTINGS and item.name in task.uses:
            raise UsageError(
                f"{flag(item)} counts frames of the whole input, but --task {task.name} gets a "
                "part of it here; do this task in a run of its own, on the layer"
            )


def named_folders(settings: Settings) -> list[str]:
    """Return the folders of the steps that are known before any is done."""
    if settings.task == AUTO:
        return []
    return [step_folder(number, name) for number, name in enumerate(task_names(settings.task), 1)]


def unused_options(settings: Settings, tasks: Sequence[str]) -> list[str]:
    """Return a warning for each option that none of the chosen ``tasks`` uses."""
    users = [find_task(name) for name in tasks]
    return [
        f"{flag(item)} was not used: no task that was done uses it"
        for item in settings.given()
        if item.name in TASK_OPTIONS and not any(item.name in task.uses for task in users)
    ]


@dataclass(frozen=True)
class StepPlace:
    """The place of a step in its chain.

    is_first: whether it reads the chain's own input. is_last: whether nothing comes after it.
    share: the part of a time budget that the step may take, 0 to 1.
    """

    is_first: bool = True
    is_last: bool = True
    share: float = 1.0


def step_settings(
    settings: Settings, task: Task, inputs: Sequence[Path], out: Path | None, place: StepPlace
) -> Settings:
    """Return the settings of one step; inputs, out: of the step.

    All steps but the last write their layers without loss.
    """
    defaults = {item.name: item.default for item in options("run")}
    changes: dict[str, Any] = {
        name: defaults[name] for name in TASK_OPTIONS if name not in task.uses and name in defaults
    }
    if not place.is_first:
        changes |= {name: defaults[name] for name in READING_SETTINGS}
    if not place.is_last:
        changes |= {"lossless": True, "codec": None, "alpha": None}
    if settings.max_seconds is not None:
        changes["max_seconds"] = settings.max_seconds * place.share
    # Whether the chain may go on, or replaces what is there, is decided once, for its own folder.
    changes |= {"task": task.name, "inputs": tuple(inputs), "out": out, "config": None}
    changes |= {"resume": not settings.overwrite, "anew": not settings.overwrite}
    return replace(settings, **changes)


def step_folder(number: int, task: str, layer: str = "") -> str:
    """Return the name of a step's folder, as ``02-transition``.

    number: from 1. layer: the input's name where the step is done on several layers.
    """
    return "-".join(filter(None, [f"{number:02d}", task, layer]))
