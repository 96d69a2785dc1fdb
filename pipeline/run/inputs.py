"""Whether inputs and options fit each other: what would go unused is refused, what is doubtful is told as a warning.

:func:`pipeline.tasks.check_options` does the same for options that a task has no use for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from pipeline.settings import Settings
from pipeline.task import Task
from stages.errors import UsageError
from stages.media.clip import ClipInfo
from stages.media.picture_folders import look_into
from stages.media.sniff import printable

OVERRUN, START_UP = 1.25, 30.0
"""How much longer than its budget a run may take, as a factor and in seconds on top: what the command line promises."""


def check_inputs(inputs: Sequence[Path]) -> None:
    """Raises UsageError where the same file is given twice, under whatever names."""
    seen: dict[tuple[int, int], Path] = {}
    for path in inputs if len(inputs) > 1 else ():
        # Whatever cannot be looked at is refused, with its reason, when it is opened.
        with suppress(OSError, ValueError):
            facts = os.stat(path)
            twin = seen.setdefault((facts.st_dev, facts.st_ino), path)
            if twin is not path:
                same = "" if twin == path else f" ({printable(twin)} is the same file)"
                raise UsageError(f"{printable(path)}: is given twice{same}; give each input once")


def check_fit(settings: Settings, info: ClipInfo) -> None:
    """Raises UsageError for an option that was given and has no meaning for this kind of input."""
    name = printable(info.path)
    folder = len(settings.inputs) == 1 and settings.inputs[0].is_dir()
    if (info.is_picture or folder) and settings.stream is not None:
        raise UsageError(f"--stream has no meaning for pictures ({name}); leave it out")
    if (info.is_picture or folder) and settings.interlaced != "auto":
        raise UsageError(f"--interlaced has no meaning for pictures ({name}); leave it out")
    if not info.is_picture:
        return
    for option, value in (("--start", settings.start), ("--end", settings.end)):
        if value is not None:
            raise UsageError(
                f"{option} has no meaning for pictures ({name}), which have no time; leave it out"
            )
    if settings.transition and len(settings.inputs) == 1:
        raise UsageError(f"--transition has no meaning for one picture ({name}); leave it out")
    if settings.alpha not in (None, "png"):
        raise UsageError(
            f"--alpha {settings.alpha} has no meaning for pictures ({name}), which are written as PNG; leave it out"
        )


def input_warnings(settings: Settings) -> list[str]:
    """Return what the user should know of the inputs before the work begins: what a folder holds that is no frame of the clip."""
    if len(settings.inputs) == 1 and settings.inputs[0].is_dir():
        return list(look_into(settings.inputs[0]).warnings)
    return []


def device_warning(settings: Settings, task: Task, device: torch.device) -> str | None:
    """Return a warning where ``--device`` asks for a GPU and the task does this preset's work on the CPU; ``None`` otherwise."""
    if settings.device == "auto" or device.type == "cpu" or settings.preset not in task.on_cpu:
        return None
    return f"--device {settings.device} has no effect: --task {task.name} does all work of --preset {settings.preset} on the CPU; leave it out"


def overrun_warning(settings: Settings, seconds: float) -> str | None:
    """Return a warning where the work took more ``seconds`` than the budget allows with all its grace; ``None`` otherwise."""
    budget = settings.max_seconds
    if budget is None or seconds <= OVERRUN * budget + START_UP:
        return None
    return (
        f"the work took {seconds:.0f} s and --max-seconds allows {budget:g}: it cannot be done in less here; "
        "take a shorter part with --start and --end, or smaller frames"
    )
