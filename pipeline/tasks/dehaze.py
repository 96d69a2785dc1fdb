"""Take haze or fog from a clip or a picture: what lies behind it, how much of it comes through, and the haze's own light."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, layered_task
from stages.dehaze.layers import Facts, separate, settle, survey

RECIPE = Recipe(
    outputs=(Output("clear"), Output("transmission", sound=False, data=True), Output("airlight", sound=False)),
    survey=survey,
    separate=separate,
    settle=settle,
    kinds=(Facts,),
)

TASK = layered_task(
    "dehaze",
    "take off haze and fog: the clear picture, the transmission and the airlight",
    RECIPE,
    uses=frozenset({"strength"}),
    on_cpu=frozenset({"fast", "balanced", "best"}),
)
