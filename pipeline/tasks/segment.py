"""The task ``segment``: foreground, background and matte of a clip or a picture."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, run_layered
from pipeline.tasks import Job, Result, Task
from stages.segment import Facts, separate, settle, survey
from stages.segment_background import Plate

RECIPE = Recipe(
    outputs=(Output("foreground", alpha="matte"), Output("background"), Output("matte", sound=False)),
    survey=survey,
    separate=separate,
    settle=settle,
    kinds=(Facts, Plate),
)


def run(job: Job) -> Result:
    """Takes the job's clip apart."""
    return run_layered(job, RECIPE)


TASK = Task(
    name="segment",
    help="foreground and background: what moves against the camera (in a picture: what stands out), and all that lies behind it",
    roles=("foreground", "background", "matte"),
    run=run,
    uses=frozenset({"alpha", "hint"}),
)
