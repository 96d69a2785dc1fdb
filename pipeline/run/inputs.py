"""Check that the inputs and the options fit each other.

What would have no effect is refused; what is doubtful becomes a warning.
:func:`pipeline.tasks.check_options` does the same for options that a task does not use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from pipeline.codecs import CODECS, PICTURE_CODECS, PREMULTIPLIED
from pipeline.settings import Settings
from pipeline.task import Task
from stages.errors import UsageError
from stages.media.clip import ClipInfo
from stages.media.containers import LAYER_CONTAINERS
from stages.media.mux import has_encoder
from stages.media.picture_folders import read_picture_folder
from stages.media.sniff import printable

OVERRUN_FACTOR = 1.25
"""Factor by which a run may exceed its time budget; docs/options.md promises it."""
START_UP_SECONDS = 30.0
"""Seconds that it may take on top, for start-up and writing; promised in the same place."""


def check_inputs(inputs: Sequence[Path]) -> None:
    """Raise UsageError where the same file is given twice, even under different names."""
    if len(inputs) < 2:
        return
    seen: dict[tuple[int, int], Path] = {}
    for path in inputs:
        # A file that cannot be looked at is refused, with the reason, when it is opened.
        with suppress(OSError, ValueError):
            facts = os.stat(path)
            twin = seen.setdefault((facts.st_dev, facts.st_ino), path)
            if twin is not path:
                same = "" if twin == path else f" ({printable(twin)} is the same file)"
                raise UsageError(f"{printable(path)}: is given twice{same}; give each input once")


def check_fit(settings: Settings, info: ClipInfo) -> None:
    """Raise UsageError for an option that was given and has no meaning for this kind of input.

    Also raises it for a codec that this input cannot have, and for one that cannot be written here.
    """
    for option, given, why in _without_meaning(settings, info):
        if given:
            raise UsageError(f"{option} has no meaning for {why}; leave it out")
    _check_codec(settings, info)


def _check_codec(settings: Settings, info: ClipInfo) -> None:
    """Raise UsageError where ``--codec`` cannot be written here, or not at the input's size."""
    if settings.codec is None:
        return
    container = LAYER_CONTAINERS[settings.codec]
    others = [name for name in CODECS if name != settings.codec]
    if not has_encoder(container.encoder):
        here = [name for name in others if has_encoder(LAYER_CONTAINERS[name].encoder)]
        raise UsageError(
            f"--codec {settings.codec}: the installed PyAV cannot write {container.title}; "
            f"choose {', '.join(here)}"
        )
    height, width = container.least_size
    if info.height < height or info.width < width:
        fitting = [name for name in others if LAYER_CONTAINERS[name].least_size <= (1, 1)]
        raise UsageError(
            f"--codec {settings.codec}: {container.title} has at least {width}x{height} pixels, "
            f"and {printable(info.path)} has {info.width}x{info.height}; "
            f"choose {', '.join(fitting)}"
        )


def _without_meaning(settings: Settings, info: ClipInfo) -> list[tuple[str, bool, str]]:
    """Return options that have no meaning here, whether each was given, and for what input."""
    name = printable(info.path)
    pictures = f"pictures ({name})"
    is_folder = len(settings.inputs) == 1 and settings.inputs[0].is_dir()
    useless = []
    if info.is_picture or is_folder:
        useless += [
            ("--stream", settings.stream is not None, pictures),
            ("--interlaced", settings.interlaced != "auto", pictures),
        ]
    if info.is_picture:
        without_time = f"{pictures}, which have no time"
        one_picture = len(settings.inputs) == 1
        other_alpha = settings.alpha not in (None, "png", PREMULTIPLIED)
        other_codec = settings.codec not in (None, *PICTURE_CODECS)
        useless += [
            ("--start", settings.start is not None, without_time),
            ("--end", settings.end is not None, without_time),
            ("--transition", one_picture and bool(settings.transition), f"one picture ({name})"),
            ("--shots", one_picture and settings.shots is not None, f"one picture ({name})"),
            ("--layers", settings.layers != 1, f"{pictures}, in which nothing moves"),
            (
                f"--alpha {settings.alpha}",
                other_alpha,
                f"{pictures}, which are written as PNG",
            ),
            (
                f"--codec {settings.codec}",
                other_codec,
                f"{pictures}, which are written as PNG, JPEG, TIFF or EXR",
            ),
        ]
    return useless


def input_warnings(settings: Settings) -> list[str]:
    """Return what the user should know about the inputs before the work begins.

    These are the files of a folder that are not frames of the clip.
    """
    if len(settings.inputs) == 1 and settings.inputs[0].is_dir():
        return list(read_picture_folder(settings.inputs[0]).warnings)
    return []


def device_warning(settings: Settings, task: Task, device: torch.device) -> str | None:
    """Return a warning if the task works on the CPU although a GPU was asked for, else ``None``."""
    if settings.device == "auto" or device.type == "cpu" or settings.preset not in task.on_cpu:
        return None
    return (
        f"--device {settings.device} has no effect: --task {task.name} does all work of "
        f"--preset {settings.preset} on the CPU; leave it out"
    )


def overrun_warning(settings: Settings, seconds: float) -> str | None:
    """Return a warning if a run took longer than its budget allows, else ``None``.

    seconds: what it took.
    """
    budget = settings.max_seconds
    if budget is None or seconds <= OVERRUN_FACTOR * budget + START_UP_SECONDS:
        return None
    return (
        f"the work took {seconds:.0f} s and --max-seconds allows {budget:g}: "
        "it cannot be done in less here; "
        "take a shorter part with --start and --end, or smaller frames"
    )
