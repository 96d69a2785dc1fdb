"""Tell what a run would do, how long it would take and how much memory (``run --dry-run``).

Nothing is written where a run would write.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pipeline.estimate.estimate import estimate_frames
from pipeline.run import manifest
from pipeline.run.device import pick_device
from pipeline.run.execute import request_of, version_fingerprint
from pipeline.run.folder_names import default_folder, refuse_input_as_folder
from pipeline.run.inputs import device_warning, input_warnings
from pipeline.run.opening import open_checked
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.earlier_run import EarlierRun, with_earlier_hints
from pipeline.runtime.folder_decision import Action
from pipeline.runtime.memory import format_bytes
from pipeline.runtime.progress import Stages, reporter
from pipeline.runtime.run_folder import RunFolder
from pipeline.runtime.run_record import KEPT
from pipeline.runtime.system_limits import cores, free_memory
from pipeline.settings import Settings
from pipeline.task import Budget, DryRun, Estimate, Job, Task
from pipeline.tasks import check_options, find_task
from pipeline.timeline.write import check_rate, file_names
from stages.errors import UnlayerError
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation
from stages.storage.checkpoint import Checkpoints

COUNT_SECONDS = 5.0
"""Seconds after which counting the frames ends, where the header does not say how many."""

COUNT_SIZE = (9, 16)
"""Height and width in which frames are decoded to be counted."""

LEAST_SPREAD = 1.1
"""How many times the least seconds the most must be, for both to be printed."""

Facts = dict[str, Any]
"""What is estimated, as JSON values."""

EstimateFacts = Callable[[Settings, Stages], Facts]
"""A function that estimates what a run would do and cost."""


def dry_run(settings: Settings) -> int:
    """Print what the run would do; return the exit status 0.

    Raises UnlayerError where the run would, as far as that shows at once.
    """
    return print_estimated(settings, estimate_run, print_estimate)


def print_estimated(
    settings: Settings, estimate: EstimateFacts, show: Callable[[Facts], None]
) -> int:
    """Print an estimate, as JSON or by ``show``, with progress meanwhile; return 0."""
    stages = Stages(reporter(json_lines=False, quiet=settings.json or settings.hides_progress))
    try:
        facts = estimate(settings, stages)
    finally:
        stages.reporter.close()
    if settings.json:
        print(json.dumps(facts))
    else:
        show(facts)
    return 0


def estimate_run(settings: Settings, stages: Stages) -> Facts:
    """Return what the run would do and what it would cost, measured on a piece of the clip.

    Raises UnlayerError where the run would.
    """
    return estimate_planned(planned_run(settings), stages)


@one_thread_an_operation(cores)
def estimate_planned(plan: PlannedRun, stages: Stages) -> Facts:
    """Return as :func:`estimate_run` does, given what is known without computing."""
    settings, task = plan.settings, plan.task
    with tempfile.TemporaryDirectory(prefix="unlayer-dry-run-") as folder:
        work = Path(folder)
        job = Job(
            clip=plan.clip,
            settings=settings,
            device=plan.device,
            work=work,
            stages=stages,
            budget=Budget(settings.max_seconds),
            checkpoints=Checkpoints(work / KEPT, "dry run"),
        )
        facts = (
            _frame_wise_facts(job, task)
            if task.dry_run is None
            else _facts_of_answer(task.dry_run(job))
        )
    if settings.max_seconds is not None:
        facts["seconds"]["total"] = min(facts["seconds"]["total"], settings.max_seconds)
    warnings = [*plan.facts["warnings"], *facts.pop("warnings", [])]
    return plan.facts | facts | {"warnings": warnings}


FOLDER_SENTENCES: dict[Action, str] = {
    "new": "new",
    "go on": "holds this run, interrupted: it would be resumed",
    "leave": "holds this same run, finished: nothing would be done",
    "again": "holds this run, finished, but without all of its layers: it would be done again",
    "anew": "holds an interrupted run that cannot be resumed: it would be started again",
    "replace": "holds a run, which would be replaced",
}
"""What to say about a folder, by what a run would do with it."""


@dataclass(frozen=True)
class PlannedRun:
    """What is known of a run without computing.

    settings: with the hints of the run that they refine. facts: the input, the folder and its
    state, and the settings, as JSON values.
    """

    task: Task
    settings: Settings
    clip: Clip
    device: torch.device
    facts: Facts


def planned_run(settings: Settings) -> PlannedRun:
    """Return what is known of a run without computing. Raises UnlayerError where the run would."""
    task = find_task(settings.task)
    check_options(task, settings)
    settings, lost_hints = with_earlier_hints(settings)
    device = pick_device(settings.device)
    out = settings.out or default_folder(settings)
    refuse_input_as_folder(settings, out)
    clip = open_checked(settings)
    check_rate(settings.timeline, clip.info)
    warnings = [*input_warnings(settings), *lost_hints]
    if (unused := device_warning(settings, task, device)) is not None:
        warnings.append(unused)
    info = clip.info
    folder, does = _folder_state(settings, clip, RunFolder(out), task.all_roles)
    facts = {
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
    return PlannedRun(task, settings, clip, device, facts)


def _folder_state(
    settings: Settings, clip: Clip, folder: RunFolder, roles: tuple[str, ...]
) -> tuple[str, bool]:
    """Return a sentence about the run's folder, and whether there is anything to do.

    Raises UnlayerError where the run would.
    """
    if folder.path.exists() and not folder.path.is_dir():
        raise UnlayerError(
            f"{folder.path}: cannot be used as the run's folder (is a file); choose another --out"
        )
    identity = manifest.identity(settings, manifest.checksums(settings.inputs, clip))
    action = folder.decide(identity, request_of(settings), versions=version_fingerprint())
    if action != "leave" and folder.path.is_dir():
        folder.refuse_foreign_files(identity, roles, file_names(settings.timeline))
    return FOLDER_SENTENCES[action], action != "leave"


def _frame_wise_facts(job: Job, task: Task) -> dict[str, Any]:
    """Return what is estimated of a task that does not answer ``--dry-run`` itself.

    The task is run on a small piece of the clip, and its cost is scaled up.
    """
    with job.stages.stage("measure"):
        first, frame_count, is_exact = _count_frames(job.clip, is_trimmed=job.settings.is_trimmed)
        if job.settings.refine is not None and is_exact:
            earlier = EarlierRun.open(job.settings.refine, job.settings.task)
            earlier.check_frames(first, frame_count, job.clip.info)
        notes = () if is_exact else (f"the clip has {frame_count} frames or more",)
        estimate = estimate_frames(job, task, frame_count)
        facts = {"frames": frame_count} | _facts_of_estimate(estimate, notes)
    if not facts["layers"]:
        facts["layers"] = [{"name": role, "role": role, "path": None} for role in task.roles]
    return facts


def _count_frames(clip: Clip, *, is_trimmed: bool) -> tuple[int, int, bool]:
    """Return the first frame that the trim leaves, how many it leaves, and whether that is exact.

    Where the header does not say, frames are counted for :data:`COUNT_SECONDS`.
    """
    if clip.info.frames and not is_trimmed and not clip.info.is_picture:
        return 0, clip.info.frames, True
    began, first, count = time.monotonic(), 0, 0
    for block in clip.blocks(size=COUNT_SIZE):
        first = block.first if count == 0 else first
        count += len(block)
        if time.monotonic() - began > COUNT_SECONDS:
            at_least = 0 if is_trimmed else clip.info.frames or 0
            return first, max(count, at_least), False
    return first, count, True


def _facts_of_answer(answer: DryRun) -> dict[str, Any]:
    """Return a task's own answer as JSON has it."""
    return {
        "frames": answer.frames,
        **answer.found,
        "warnings": list(answer.warnings),
        **_facts_of_estimate(answer.estimate, answer.notes),
        "layers": list(answer.layers),
    }


def _facts_of_estimate(estimate: Estimate, notes: tuple[str, ...]) -> dict[str, Any]:
    """Return an estimate as JSON has it."""
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
            "seconds and memory are estimates, from a few seconds of measuring on this machine as "
            "busy as it is now",
            *estimate.notes,
            *notes,
        ],
    }


def print_estimate(facts: dict[str, Any]) -> None:
    """Print the estimate for people."""
    console = Console()

    inputs = ", ".join(printable(Path(path)) for path in facts["input"])
    print_line(
        f"{facts['task']} of {inputs}: {facts['width']}x{facts['height']}, "
        f"{facts['frames']} frames, on {facts['device']}"
    )
    print_line(f"into {printable(Path(facts['out']))} ({facts['folder']})")
    if transitions := facts.get("transitions"):
        console.print(_transition_table(transitions))
    elif "transitions" in facts:
        print_line("no transition was found: the clip would be written as it is")
    table = Table("layer", "role", "file")
    for layer in facts["layers"]:
        table.add_row(layer["name"], layer["role"], layer["path"] or "")
    console.print(table)
    size = facts["width"], facts["height"]
    for sentence in dict.fromkeys(plan_sentence(plan, *size) for plan in facts["plans"]):
        print_line(f"plan: {sentence}")
    print_line(_seconds_line(facts["seconds"]))
    free = f", {format_bytes(facts['free_memory'])} are free" if facts["free_memory"] else ""
    print_line(f"about {format_bytes(facts['memory'])} of memory at most{free}")
    for warning in facts["warnings"]:
        print_line(f"warning: {warning}")
    for note in facts["notes"]:
        print_line(f"note: {note}")
    print_line("nothing was written")


def plan_sentence(plan: Mapping[str, Any], width: int, height: int) -> str:
    """Return what would be done with a transition, in words.

    plan: the fields of :class:`stages.transition.plan.Plan`. width, height: of the clip, in pixels.
    """
    scale = min(1.0, (plan["pixels"] / (width * height)) ** 0.5)
    size = "at full size"
    if scale < 1:
        size = f"at {round(scale * width)}x{round(scale * height)}, then finished at full size"
    if plan["paper_steps"]:
        return f"{size}: {plan['paper_steps']} steps of the published networks"
    passes = plan["turns"] * plan["rounds"]
    if plan["ties"]:
        passes += plan["rounds"]
    networks = ""
    if plan["fit_steps"]:
        networks = f"; up to {plan['fit_steps']} steps of networks where motion leaves much open"
    plural = "es" if passes > 1 else ""
    work = f"motion of both scenes, then {passes} pass{plural} over the mixed frames"
    return f"{size}: {work}{networks}"


def _transition_table(transitions: list[dict[str, Any]]) -> Table:
    table = Table("kind", "first", "last", "from", "to")
    for item in transitions:
        sides = [str(item[side] or item.get("color")) for side in ("from", "to")]
        table.add_row(item["kind"], str(item["first_frame"]), str(item["last_frame"]), *sides)
    return table


def _seconds_line(seconds: dict[str, Any]) -> str:
    """Return the line about the seconds in all and by stage."""
    spread = ""
    if seconds["most"] > LEAST_SPREAD * seconds["least"]:
        spread = f" ({seconds['least']:.0f} to {seconds['most']:.0f})"
    stages = ", ".join(f"{name} {value:.1f}" for name, value in seconds["stages"].items())
    return f"about {seconds['total']:.0f} s{spread}: {stages}"
