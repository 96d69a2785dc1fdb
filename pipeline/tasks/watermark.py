"""Take a watermark off a picture with a box around it, off several pictures that share it, or a channel's logo off a clip."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, run_layered
from pipeline.tasks import Job, Result, Task
from stages.watermark import Effort, Facts, separate, survey

RECIPE = Recipe(
    outputs=(Output("clean"), Output("watermark", sound=False), Output("matte", sound=False)),
    survey=survey,
    separate=separate,
    kinds=(Facts, Effort),
)


def run(job: Job) -> Result:
    """Does the task ``watermark``; see :class:`pipeline.tasks.Task`."""
    return run_layered(job, RECIPE)


TASK = Task(
    name="watermark",
    help="take off a watermark or a channel's logo: the clean picture, the mark and its matte",
    roles=("clean", "watermark", "matte"),
    run=run,
    uses=frozenset({"hint"}),
)
