"""Take reflections and other sums apart: what is seen through the pane, and what the pane reflects; from a picture, several, or a clip."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, layered_task
from stages.transparency.layers import Facts, separate, settle, survey

RECIPE = Recipe(
    outputs=(Output("transmission"), Output("reflection", sound=False)),
    survey=survey,
    separate=separate,
    settle=settle,
    memory=40,
    kinds=(Facts,),
)

TASK = layered_task(
    "transparency",
    "undo reflections and other sums of two layers: what lies behind the glass, and what it reflects",
    RECIPE,
    uses=frozenset({"space", "strength"}),
    on_cpu=frozenset({"fast", "balanced", "best"}),
)
