"""The folders of a chain's steps, inside its own: what is missing, added or replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.report.index import remove_index
from pipeline.run.chain_plan import StepPlace, step_settings
from pipeline.run.opening import open_checked
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import (
    MANIFEST,
    RECORD,
    WORK,
    Identity,
    files_of,
    flat_name,
    identity_of,
    read_json,
    steps_of,
)
from pipeline.settings import Settings
from pipeline.tasks import AUTO, find_task
from pipeline.timeline.write import add_timelines, check_rate
from stages.errors import UnlayerError
from stages.media.clip import ClipInfo
from stages.storage import safe_files

_STEP = re.compile(r"\d\d-[a-z][\w-]*", re.ASCII)
"""The name of a step's folder, as :func:`pipeline.run.chain_plan.step_folder` makes it."""


def missing_layers(chain: Path) -> list[str]:
    """Return the layers that a finished chain's manifest names and that are gone.

    Raises UnlayerError where the manifest is damaged.
    """
    layers: Any = (read_json(chain / MANIFEST) or {}).get("layers")
    if not isinstance(layers, list) or not all(
        isinstance(layer, dict) and isinstance(layer.get("path"), str) for layer in layers
    ):
        raise _damaged(chain)
    return [layer["path"] for layer in layers if not (chain / layer["path"]).exists()]


def clear_replaced(folder: RunFolder, settings: Settings, identity: Identity) -> None:
    """Remove the chain that is about to be replaced: its steps' files, its page, its manifest.

    Only files go that the manifest of a step names. A chain of the same input and options stays,
    unless ``--overwrite`` is given: its steps go on.

    folder: of the chain, ready for the new run. identity: of the new run.
    """
    old = read_json(folder.path / MANIFEST) or {}
    same = identity_of(old) == identity and not settings.overwrite
    if same or not isinstance(old.get("steps"), list):
        return
    clear_chain(folder)
    folder.remove([MANIFEST])


def clear_chain(folder: RunFolder) -> None:
    """Remove the files of a finished chain that the folder holds, except its manifest."""
    manifest = read_json(folder.path / MANIFEST) or {}
    if isinstance(manifest.get("steps"), list) and identity_of(manifest) is not None:
        remove_runs(folder.path / step["path"] for step in steps_of(manifest))
        remove_index(folder.path)


def interrupted_steps(chain: Path, task: str) -> list[Path]:
    """Return the steps' folders of an interrupted chain that a run of ``task`` cannot go on with.

    The list is empty where ``chain`` holds no interrupted chain, or one of the same tasks.
    """
    if os.path.lexists(chain / MANIFEST):
        return []
    recorded_task = (read_json(chain / WORK / RECORD) or {}).get("task")
    if not isinstance(recorded_task, str) or recorded_task == task:
        return []
    if recorded_task != AUTO and "," not in recorded_task:
        # It is a run of one task, without steps.
        return []
    return [entry for entry in chain.iterdir() if _STEP.fullmatch(entry.name)]


def add_step_timelines(chain: Path, settings: Settings, info: ClipInfo) -> None:
    """Write the timelines that the steps of a finished chain do not have yet.

    info: the chain's input. Raises UsageError and UnlayerError as
    :func:`pipeline.timeline.write.add_timelines` does.
    """
    if not settings.timeline:
        return
    for number, step in enumerate(steps_of(read_json(chain / MANIFEST) or {})):
        task = find_task(str(step.get("task")))
        if "timeline" not in task.uses:
            continue
        step_info = info
        if number:
            inputs = _inputs_of(chain, step)
            own_settings = step_settings(settings, task, inputs, chain, StepPlace(is_first=False))
            step_info = open_checked(own_settings).info
        check_rate(settings.timeline, step_info)
        with claim(chain / step["path"]) as run:
            add_timelines(run, settings.timeline, step_info)


def _inputs_of(chain: Path, step: Mapping[str, Any]) -> list[Path]:
    """Return the files that a later step read, layers of the step before.

    Raises UnlayerError where the manifest is damaged, so that it names no files inside the chain.
    """
    names = step.get("input")
    # Each is a folder's name and a file's name.
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and all(map(flat_name, name.split("/"))) for name in names)
    ):
        raise _damaged(chain)
    return [chain / name for name in names]


def _damaged(chain: Path) -> UnlayerError:
    return UnlayerError(f"{chain}: its {MANIFEST} is damaged; do it again with --overwrite")


def remove_runs(places: Iterable[Path]) -> None:
    """Remove runs of this program, and each one's folder if nothing else is in it."""
    for place in places:
        if safe_files.is_folder(place):
            _remove_run(place)


def _remove_run(place: Path) -> None:
    record = read_json(place / MANIFEST) or {}
    is_finished = identity_of(record) is not None
    if not is_finished and not safe_files.is_file(place / WORK / RECORD):
        return
    with claim(place) as run:
        if is_finished:
            run.remove([*files_of(record), MANIFEST])
        run.drop_work()
    with suppress(OSError):
        place.rmdir()
