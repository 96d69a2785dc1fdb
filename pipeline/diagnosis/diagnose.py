"""Ask every task whether its thing is in a clip, and add the facts that no task takes apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pipeline.diagnosis.sample import read_sample
from pipeline.runtime.progress import Stages, Step
from pipeline.settings import Settings
from pipeline.task import DiagnoseClip, Task
from pipeline.tasks import (
    AUTO,
    built_in,
    find_task,
    names,
    naming_package,
    offered,
    package_of,
    task_names,
)
from stages.diagnosis import THERE, ClipSample, Diagnosed, Diagnosis
from stages.errors import UnlayerError
from stages.media.read import Clip
from stages.picture_facts import borders, interlacing, stills


def diagnoser_for(clip: Clip, settings: Settings, stages: Stages) -> DiagnoseClip:
    """Return the function that diagnoses ``clip`` and shows its progress as a stage.

    It looks for what the tasks that the settings name take out, or for what any task takes out.
    """
    only = [] if settings.task in ("", AUTO) else task_names(settings.task)

    def diagnose_clip(search: Mapping[str, Any], kept: Diagnosed | None) -> Diagnosed:
        by = (*_makers(), *(f"only {name}" for name in only))
        if kept is not None and kept.by == by:
            return kept
        tasks = [task for task in diagnosing_tasks() if not only or task.name in only]
        seek = clip.frame_index.rising and not settings.salvage
        with stages.stage("look") as step:
            sample = read_sample(clip, search, step, seek=seek or clip.info.is_picture)
            diagnoses = _diagnoses(sample, tasks, step)
            facts = (borders(sample), interlacing(clip.info.scan), stills(sample))
        return Diagnosed(by, diagnoses, facts)

    return diagnose_clip


def no_diagnoses(search: Mapping[str, Any], kept: Diagnosed | None) -> None:
    """Diagnose nothing; see :data:`pipeline.task.DiagnoseClip`."""


def _diagnoses(sample: ClipSample, tasks: Sequence[Task], step: Step) -> dict[str, Diagnosis]:
    """Return what each of ``tasks`` says of a clip's sample, by its name."""
    diagnoses, picture = {}, sample.without_bars()
    for number, task in enumerate(tasks):
        step(number / len(tasks), task.name)
        assert task.diagnose is not None
        with naming_package(task.name):
            diagnoses[task.name] = task.diagnose(sample if _sees_bars(task, sample) else picture)
    return diagnoses


def _sees_bars(task: Task, sample: ClipSample) -> bool:
    """Return whether a run of the task would look at whole frames, with their bars."""
    recipe = task.recipe
    if recipe is None or not recipe.beyond:
        return True
    return sample.unordered and not recipe.bars_of_pictures


def diagnosing_tasks() -> list[Task]:
    """Return the tasks that can diagnose, in the order in which a run without a task does them.

    Tasks of packages that cannot be loaded are left out; ``doctor`` says why.
    """
    tasks = []
    for name in names():
        with suppress(UnlayerError):
            tasks.append(find_task(name))
    able = [task for task in tasks if task.diagnose is not None]

    def order(task: Task) -> tuple[float, str]:
        place = math.inf if task.auto_order is None else task.auto_order
        return place, task.name

    return sorted(able, key=order)


def tasks_to_do(diagnoses: Diagnosed) -> list[str]:
    """Return the names of the tasks that a run without ``--task`` does, in order."""
    there = [
        task
        for task in diagnosing_tasks()
        if task.auto_order is not None
        and task.name in diagnoses.of_tasks
        and diagnoses.of_tasks[task.name].verdict == THERE
    ]
    explained = {name for task in there for name in task.explains}
    return [task.name for task in there if task.name not in explained]


def as_json(diagnoses: Diagnosed) -> list[dict[str, object]]:
    """Return the diagnoses as ``probe --json`` prints them."""
    entries: list[tuple[str | None, Diagnosis]] = [
        *diagnoses.of_tasks.items(),
        *((None, fact) for fact in diagnoses.of_files),
    ]
    return [
        {
            "name": each.name,
            "task": task,
            "verdict": each.verdict,
            "account": each.account,
            "evidence": dict(each.evidence),
        }
        for task, each in entries
    ]


def _makers() -> tuple[str, ...]:
    """Return the tasks that can diagnose, with the packages and versions of those from outside."""
    makers: list[str] = sorted(built_in())
    for name, points in sorted(offered().items()):
        makers += [f"{name} {package_of(point)} {_version(point)}" for point in points]
    return tuple(makers)


def _version(point: Any) -> str:
    return point.dist.version if point.dist is not None else ""


def reasons(diagnoses: Diagnosed, tasks: Sequence[str]) -> list[str]:
    """Return one line for each of ``tasks`` that says why it is done."""
    chosen = [diagnoses.of_tasks[name] for name in tasks]
    return [
        f"found {each.name} ({each.account}): --task {name}"
        for name, each in zip(tasks, chosen, strict=True)
    ]
