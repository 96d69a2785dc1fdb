"""Choose the tasks of a run without ``--task`` from what the diagnoses find in the clip."""

from __future__ import annotations

from functools import partial

from pipeline.diagnosis.diagnose import as_json, diagnoser_for, reasons, tasks_to_do
from pipeline.runtime.progress import Stages
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.tasks import DEFAULT_TASK, find_task
from stages.media.read import Clip
from stages.optim.threads import one_thread_an_operation

NOTHING_FOUND = (
    "nothing was found that a task takes out, so the input is left as it is; "
    "probe shows what was looked for, and --task does a task all the same"
)


Choice = tuple[list[str], list[str], list[dict[str, object]]]
"""The tasks to do in order, a line for each that says why, and the diagnoses as JSON."""


def choose_tasks(clip: Clip, settings: Settings, stages: Stages) -> Choice:
    """Search and diagnose the clip, and return the tasks that take out what is there."""
    search = find_task(DEFAULT_TASK).probe
    assert search is not None
    diagnose_clip = diagnoser_for(clip, settings, stages)
    with (
        one_thread_an_operation(partial(cores, settings.threads)),
        stages.stage("find") as step,
    ):
        diagnosed = search(clip, settings, step, diagnose_clip)["diagnosed"]
    names = tasks_to_do(diagnosed)
    return names, reasons(diagnosed, names), as_json(diagnosed)
