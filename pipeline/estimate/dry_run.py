"""``run --dry-run``: what would be done, how long it will take here and how much memory, without a file being written where a run would."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.estimate.estimate import of_frames
from pipeline.run import manifest
from pipeline.run.execute import request_of, version_fingerprint
from pipeline.run.inputs import device_warning, input_warnings
from pipeline.run.opening import (
    default_folder,
    open_checked,
    pick_device,
    refuse_input_as_folder,
)
from pipeline.runtime.folder_decision import Doing
from pipeline.runtime.memory import amount
from pipeline.runtime.progress import Stages, reporter
from pipeline.runtime.run_folder import RunFolder
from pipeline.runtime.system_limits import cores, free_memory
from pipeline.settings import Settings
from pipeline.task import Budget, DryRun, Estimate, Job
from pipeline.tasks import check_options, find_task
from stages.checkpoint import Checkpoints
from stages.errors import UnlayerError
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation


def dry_run(settings: Settings) -> int:
    """Prints what the run would do; returns the exit status 0. Raises UnlayerError where the run would, as far as that shows at once."""
    stages = Stages(reporter(json_lines=False, quiet=settings.json or settings.no_progress))
    try:
        facts = foreseen(settings, stages)
    finally:
        stages.shown.close()
    print(json.dumps(facts)) if settings.json else show(facts)
    return 0


@one_thread_an_operation(cores)
def foreseen(settings: Settings, stages: Stages) -> dict[str, Any]:
    """What the run would do and what that would cost, measured on a piece. Raises UnlayerError where the run would."""
    begin = known(settings)
    task, clip = find_task(settings.task), open_checked(settings)
    with tempfile.TemporaryDirectory(prefix="unlayer-dry-run-") as room:
        work, device = Path(room), pick_device(settings.device)
        job = Job(
            clip,
            settings,
            device,
            work,
            stages,
            Budget(settings.max_seconds),
            Checkpoints(work / "keep", "dry run"),
        )
        if task.dry_run is not None:
            facts = _answered(task.dry_run(job))
        else:
            with stages.stage("measure"):
                frames, sure = _count(
                    clip, trimmed=settings.start is not None or settings.end is not None
                )
                facts = {"frames": frames} | _told(
                    of_frames(job, task, frames),
                    () if sure else (f"the clip has {frames} frames or more",),
                )
            if not facts["layers"]:
                facts["layers"] = [
                    {"name": role, "role": role, "path": None} for role in task.roles
                ]
    if settings.max_seconds is not None:
        facts["seconds"]["total"] = min(facts["seconds"]["total"], settings.max_seconds)
    warnings = [*begin["warnings"], *facts.pop("warnings", [])]
    return begin | facts | {"warnings": warnings}


DOING: dict[Doing, str] = {
    "new": "new",
    "go on": "holds this run, interrupted: it would go on",
    "leave": "holds this very run, finished: nothing would be done",
    "again": "holds this run, finished, without all of its layers: it would be made again",
    "anew": "holds an interrupted run that cannot be gone on with: it would be begun again",
    "replace": "holds a run, which would be replaced",
}
"""What is said of a folder by what a run would do about it."""


def known(settings: Settings) -> dict[str, Any]:
    """What is known without computing: the input, the folder, what is in it and whether that leaves anything to do, the settings.
    Raises UnlayerError where the run would."""
    task = find_task(settings.task)
    check_options(task, settings)
    device = pick_device(settings.device)
    out = settings.out or default_folder(settings)
    refuse_input_as_folder(settings, out)
    clip = open_checked(settings)
    warnings = input_warnings(settings)
    if (unused := device_warning(settings, task, device)) is not None:
        warnings.append(unused)
    info, (folder, does) = clip.info, _state(settings, clip, RunFolder(out), task.roles)
    return {
        "event": "dry_run",
        "task": settings.task,
        "input": [str(path) for path in settings.inputs],
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "rate": f"{info.rate.numerator}/{info.rate.denominator}",
        "device": str(device),
        "settings": settings.kept(),
        "out": str(out),
        "folder": folder,
        "does": does,
        "warnings": warnings,
    }


def _state(
    settings: Settings, clip: Clip, folder: RunFolder, roles: tuple[str, ...]
) -> tuple[str, bool]:
    """What a run would find in its folder and do about it, and whether there is anything to do. Raises UnlayerError where it would."""
    if folder.path.exists() and not folder.path.is_dir():
        raise UnlayerError(
            f"{folder.path}: cannot be used as the run's folder (is a file); choose another --out"
        )
    identity = manifest.identity(settings, manifest.checksums(settings.inputs, clip))
    doing = folder.decide(identity, request_of(settings), versions=version_fingerprint())
    if doing != "leave" and folder.path.is_dir():
        folder.refuse_foreign_files(roles)
    return DOING[doing], doing != "leave"


def _count(clip: Clip, *, trimmed: bool) -> tuple[int, bool]:
    """How many frames the trim leaves, and whether that is sure: counted for some seconds where the header does not say."""
    if clip.info.frames and not trimmed and not clip.info.is_picture:
        return clip.info.frames, True
    began, count = time.monotonic(), 0
    for block in clip.blocks(size=(9, 16)):
        count += len(block)
        if time.monotonic() - began > 5:
            return max(count, 0 if trimmed else clip.info.frames or 0), False
    return count, True


def _answered(answer: DryRun) -> dict[str, Any]:
    """Return a task's own answer as JSON values."""
    return {
        "frames": answer.frames,
        **answer.found,
        "warnings": list(answer.warnings),
        **_told(answer.estimate, answer.notes),
        "layers": list(answer.layers),
    }


def _told(estimate: Estimate, notes: tuple[str, ...]) -> dict[str, Any]:
    least = sum(estimate.seconds.values())
    return {
        "layers": [
            {"name": name, "role": role, "path": name + suffix}
            for name, role, suffix in estimate.layers
        ],
        "plans": list(estimate.plans),
        "seconds": {
            "total": round(estimate.total, 1),
            "least": round(least, 1),
            "most": round(least + estimate.more, 1),
            "stages": {name: round(value, 1) for name, value in estimate.seconds.items()},
        },
        "memory": estimate.memory,
        "free_memory": free_memory(),
        "notes": [
            "seconds and memory are estimates, from a few seconds of measuring on this machine as busy as it is now",
            *estimate.notes,
        ]
        + list(notes),
    }


def show(facts: dict[str, Any]) -> None:
    """The facts for people."""
    console = Console()

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    inputs = ", ".join(printable(Path(path)) for path in facts["input"])
    line(
        f"{facts['task']} of {inputs}: {facts['width']}x{facts['height']}, {facts['frames']} frames, on {facts['device']}"
    )
    line(f"into {printable(Path(facts['out']))} ({facts['folder']})")
    if moves := facts.get("transitions"):
        table = Table("kind", "first", "last", "from", "to")
        for move in moves:
            sides = [str(move[side] or move.get("color")) for side in ("from", "to")]
            table.add_row(move["kind"], str(move["first_frame"]), str(move["last_frame"]), *sides)
        console.print(table)
    elif "transitions" in facts:
        line("no transition was found: the clip would be written as it is")
    table = Table("layer", "role", "file")
    for layer in facts["layers"]:
        table.add_row(layer["name"], layer["role"], layer["path"] or "")
    console.print(table)
    for plan in facts["plans"]:
        line(f"plan: {', '.join(f'{name} {value}' for name, value in plan.items() if value)}")
    seconds = facts["seconds"]
    between = (
        f" ({seconds['least']:.0f} to {seconds['most']:.0f})"
        if seconds["most"] > 1.1 * seconds["least"]
        else ""
    )
    line(
        f"about {seconds['total']:.0f} s{between}: {', '.join(f'{name} {value:.1f}' for name, value in seconds['stages'].items())}"
    )
    free = f", {amount(facts['free_memory'])} are free" if facts["free_memory"] else ""
    line(f"about {amount(facts['memory'])} of memory at most{free}")
    for warning in facts["warnings"]:
        line(f"warning: {warning}")
    for note in facts["notes"]:
        line(f"note: {note}")
    line("nothing was written")
