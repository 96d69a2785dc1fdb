"""Find the tasks by their names.

A file ``pipeline/tasks/<name>.py`` with a :data:`TASK` is a task; nothing else has to list it.
An installed package adds one with an entry point in the group ``unlayer.tasks``, such as
``rain = "package.module:TASK"``. :mod:`pipeline.task` says what a task is.
"""

from __future__ import annotations

import difflib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from pipeline.near_words import did_you_mean
from pipeline.option_fields import flag
from pipeline.settings import AUTO_TASK, Settings
from pipeline.task import (
    TASK_OPTIONS,
    Budget,
    FitRecord,
    Job,
    Result,
    RunParts,
    Task,
    WrittenLayer,
)
from stages.errors import UnlayerError, UsageError

__all__ = [
    "AUTO",
    "DEFAULT_TASK",
    "GROUP",
    "TASK_OPTIONS",
    "Budget",
    "Fit",
    "Job",
    "Layer",
    "Parts",
    "Result",
    "Task",
    "naming_package",
    "built_in",
    "check_name",
    "check_names",
    "check_options",
    "find_task",
    "names",
    "offered",
    "package_of",
    "shadowed_task_warning",
    "task_names",
]

# Earlier names of the contract's classes, kept for packages that import them from here.
Layer = WrittenLayer
Fit = FitRecord
Parts = RunParts

DEFAULT_TASK = "transition"
"""The task that ``bench`` measures unless told otherwise."""
AUTO = AUTO_TASK
"""The word of ``--task`` that lets the diagnoses choose the tasks."""
OTHER_NAMES = {
    "crossfade": "transition",
    "cut": "transition",
    "dissolve": "transition",
    "fade": "transition",
    "wipe": "transition",
    "foreground": "segment",
    "matte": "segment",
    "matting": "segment",
    "rotoscope": "segment",
    "segmentation": "segment",
    "dehazing": "dehaze",
    "fog": "dehaze",
    "haze": "dehaze",
    "logo": "watermark",
    "mark": "watermark",
    "dereflection": "transparency",
    "glass": "transparency",
    "reflection": "transparency",
    "window": "transparency",
}
"""What other programs and people call the built-in tasks."""
SURELY_MEANT = 0.8
"""Likeness of two words, 0 to 1, from which one is taken for the other misspelled."""
GROUP = "unlayer.tasks"
"""The group of entry points under which packages offer tasks."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}", re.ASCII)


def built_in() -> frozenset[str]:
    """Return the names of the project's own tasks."""
    return frozenset(module.name for module in pkgutil.iter_modules(__path__))


def offered() -> dict[str, list[EntryPoint]]:
    """Return the tasks that installed packages offer, by name.

    Names that could not be part of a folder's name are left out.
    """
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if _NAME.fullmatch(point.name):
            same_name = points.setdefault(point.name, [])
            # A package that is installed twice is found twice.
            known = [(other.value, package_of(other)) for other in same_name]
            if (point.value, package_of(point)) not in known:
                same_name.append(point)
    return points


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that offers a task."""
    return point.dist.name if point.dist is not None else "an unknown package"


def names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted."""
    return tuple(sorted(built_in() | set(offered())))


def check_name(name: str) -> None:
    """Check that there is exactly one task called ``name``, without importing it.

    Raises UsageError where there is none, or where several packages offer one.
    """
    if not name:
        raise UsageError(
            f"--task is missing; choose {', '.join(names())} (probe shows what is in a clip)"
        )
    if name in built_in():
        return
    points = offered().get(name, [])
    if not points:
        known = names()
        near = difflib.get_close_matches(name.lower(), OTHER_NAMES, 1, cutoff=SURELY_MEANT)
        if near:
            called = OTHER_NAMES[near[0]]
            raise UsageError(f"--task {name!r}: {near[0]} is called {called} here; give {called}")
        raise UsageError(
            f"--task {name!r} is not known; choose {', '.join(known)}{did_you_mean(name, known)}"
        )
    if len(points) > 1:
        packages = " and ".join(map(_origin, points))
        raise UsageError(f"--task {name} is offered by {packages}; uninstall all of them but one")


def task_names(text: str) -> list[str]:
    """Return the names in a value of ``--task``, which are separated by commas."""
    return [name.strip() for name in text.split(",")]


def check_names(text: str) -> None:
    """Check every name in a value of ``--task``: one task, several, or :data:`AUTO`.

    Raises UsageError as :func:`check_name` does, and for an empty name between commas.
    """
    if text == AUTO:
        return
    for name in task_names(text):
        if not name and "," in text:
            raise UsageError(f"--task {text!r}: a name is missing beside a comma")
        if name == AUTO:
            raise UsageError(
                f"--task {text!r}: {AUTO} chooses the tasks itself; give {AUTO} alone, "
                "or name all tasks"
            )
        check_name(name)


def shadowed_task_warning(name: str) -> str | None:
    """Return a warning if a package offers a task with the name of a built-in one, else ``None``.

    The built-in task is used.
    """
    points = offered().get(name, []) if name in built_in() else []
    if not points:
        return None
    packages = ", ".join(map(_origin, points))
    return f"the task {name} of {packages} is not used: the built-in task of that name comes first"


def find_task(name: str) -> Task:
    """Return the task called ``name``.

    Raises UsageError where there is none, and UnlayerError where a package's task cannot be
    loaded.
    """
    check_name(name)
    if name in built_in():
        task = import_module(f"{__name__}.{name}").TASK
        assert isinstance(task, Task)
        return task
    (point,) = offered()[name]
    try:
        task = point.load()
        if not isinstance(task, Task):
            raise TypeError(f"it is of type {type(task).__name__}, not an unlayer.plugin.Task")
        if task.name != name:
            raise ValueError(f"its name is {task.name!r}, and its entry point's is {name!r}")
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnlayerError(
            f"--task {name}: {point.value} of {package_of(point)} cannot be loaded ({reason}); "
            "update or uninstall that package"
        ) from error
    return task


@contextmanager
def naming_package(name: str) -> Iterator[None]:
    """Turn an unexpected error of another package's task into one line that names the package.

    name: of the task. Errors of the project's own tasks pass unchanged, and so do errors that the
    machine causes. Raises UnlayerError.
    """
    try:
        yield
    # Whoever runs the task says what to do about a lack of memory or disk.
    except (UnlayerError, MemoryError, OSError):
        raise
    except Exception as error:
        if name in built_in() or "memory" in str(error):
            raise
        (point,) = offered()[name]
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise UnlayerError(
            f"--task {name}: {point.value} of {package_of(point)} failed "
            f"({' '.join(reason.split())}); --debug shows its author where"
        ) from error


def check_options(task: Task, settings: Settings) -> None:
    """Raise UsageError for an option that was given and that the task does not use."""
    for item in settings.given():
        if item.name in TASK_OPTIONS and item.name not in task.uses:
            raise UsageError(f"{flag(item)} has no meaning for --task {task.name}; leave it out")
    for hint in settings.hint:
        # Tasks that know both kinds of hints also know what each frame's hints are.
        if hint.frame is not None and "hint_background" not in task.uses:
            raise UsageError(
                f"--hint {settings.hint_known_as(hint)}: --task {task.name} takes hints for all "
                f"frames together; leave out {hint.frame}:"
            )


def _origin(point: EntryPoint) -> str:
    return f"{package_of(point)} ({point.value})"
