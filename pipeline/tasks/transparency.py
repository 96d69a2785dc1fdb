"""Take reflections and other sums apart: what is seen through the pane, and what the pane reflects; from a picture, several, or a clip."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, run_layered
from pipeline.tasks import Job, Result, Task
from stages.transparency import Facts, separate, settle, survey

RECIPE = Recipe(
    outputs=(Output("transmission"), Output("reflection", sound=False)),
    survey=survey,
    separate=separate,
    settle=settle,
    kinds=(Facts,),
)


def run(job: Job) -> Result:
    """Does the task ``transparency``; see :class:`pipeline.tasks.Task`."""
    return run_layered(job, RECIPE)


TASK = Task(
    name="transparency",
    help="undo reflections and other sums of two layers: what lies behind the glass, and what it reflects",
    roles=("transmission", "reflection"),
    run=run,
    uses=frozenset({"space"}),
)
