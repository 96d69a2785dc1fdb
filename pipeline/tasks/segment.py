"""The task ``segment``: foreground, background and matte of a clip or a picture."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, layered_task
from stages.segment.background import Plate
from stages.segment.layers import FIT_PIXELS, VOTE_PIXELS, WORK_PIXELS, Facts, separate, settle, survey

RECIPE = Recipe(
    outputs=(Output("foreground", alpha="matte"), Output("background"), Output("matte", sound=False, data=True)),
    survey=survey,
    separate=separate,
    settle=settle,
    memory=36,
    kinds=(Facts, Plate),
    limits={"motion": WORK_PIXELS, "votes": VOTE_PIXELS, "networks": FIT_PIXELS, "edges": WORK_PIXELS},
)

TASK = layered_task(
    "segment",
    "foreground and background: what moves against the camera (in a picture: what stands out), and all that lies behind it",
    RECIPE,
    uses=frozenset({"alpha", "hint"}),
)
