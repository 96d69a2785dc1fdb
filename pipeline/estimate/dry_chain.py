"""Tell what a run of several tasks, or without ``--task``, would do (``run --dry-run``).

Nothing is written where a run would write.
"""

from __future__ import annotations

from typing import Any

from pipeline.diagnosis.choose import NOTHING_FOUND, choose_tasks
from pipeline.estimate import dry_run as one_task
from pipeline.run.chain_plan import (
    StepPlace,
    check_chain_options,
    is_chain,
    step_folder,
    step_settings,
    unused_options,
)
from pipeline.run.folder_names import default_folder, refuse_input_as_folder
from pipeline.run.opening import open_checked
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import Stages
from pipeline.settings import Settings
from pipeline.tasks import AUTO, find_task, task_names

ON_THE_INPUT = (
    "each task is estimated on the input itself, though all but the first get layers of the one "
    "before"
)


def dry_run(settings: Settings) -> int:
    """Print what the run would do, with one task or several; return the exit status 0.

    Raises UnlayerError where the run would, as far as that shows at once.
    """
    if not is_chain(settings):
        return one_task.dry_run(settings)
    return one_task.print_estimated(settings, estimate_chain, print_chain)


def estimate_chain(settings: Settings, stages: Stages) -> dict[str, Any]:
    """Return the tasks that the run would do, why, and what each would cost.

    Without ``--task`` the clip is searched and diagnosed, as the run would. Raises UnlayerError
    where the run would.
    """
    check_chain_options(settings)
    out = settings.out or default_folder(settings)
    refuse_input_as_folder(settings, out)
    names = task_names(settings.task)
    why: list[str] = []
    diagnoses: list[dict[str, object]] = []
    warnings: list[str] = []
    if settings.task == AUTO:
        names, why, diagnoses = choose_tasks(open_checked(settings), settings, stages)
        warnings = unused_options(settings, names)
        if not names:
            warnings.append(NOTHING_FOUND)
    count = len(names)
    steps = []
    for number, name in enumerate(names, 1):
        folder = out / step_folder(number, name)
        place = StepPlace(is_last=number == count, share=1 / count)
        own = step_settings(settings, find_task(name), settings.inputs, folder, place)
        steps.append(one_task.estimate_run(own, stages))
    return {
        "event": "dry_run",
        "task": settings.task,
        "input": [str(path) for path in settings.inputs],
        "out": str(out),
        "why": why,
        "diagnoses": diagnoses,
        "steps": steps,
        "seconds": {"total": round(sum(step["seconds"]["total"] for step in steps), 1)},
        "warnings": warnings,
        "notes": [ON_THE_INPUT] if count > 1 else [],
    }


def print_chain(facts: dict[str, Any]) -> None:
    """Print the estimate for people: why each task is done, and what each would cost."""
    for text in facts["why"]:
        print_line(text)
    for number, step in enumerate(facts["steps"], 1):
        if len(facts["steps"]) > 1:
            print_line(f"\nstep {number} of {len(facts['steps'])}:")
        one_task.print_estimate(step)
    if len(facts["steps"]) > 1:
        print_line(f"\nin all about {facts['seconds']['total']:.0f} s")
    for text in (*facts["warnings"], *facts["notes"]):
        print_line(f"note: {text}")
    if not facts["steps"]:
        print_line("nothing was written")
