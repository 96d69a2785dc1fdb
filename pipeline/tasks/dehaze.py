"""Take haze or fog from a clip or a picture: what lies behind it, how much of it comes through, and the haze's own light."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.bench.clips import haze
from pipeline.framewise.run import Output, Recipe, layered_task
from pipeline.task import BenchClip
from stages.dehaze.layers import Facts, separate, settle, survey


def account(figures: Mapping[str, float]) -> str:
    """Say how much haze there is and how much of it was taken off."""
    if figures.get("untouched", 0.0) == 1.0:
        return "No haze was taken off: the clear layer is the input."
    lost, power = 100 * (1 - figures["mean_transmission"]), figures.get("power", 1.0)
    return (
        f"The haze that was taken off hides {lost:.0f} % of the light in the mean, "
        f"which is {100 * power:.0f} % of the optical depth that may be haze."
    )


RECIPE = Recipe(
    outputs=(
        Output("clear"),
        Output("transmission", sound=False, data=True),
        Output("airlight", sound=False),
    ),
    survey=survey,
    separate=separate,
    settle=settle,
    kinds=(Facts,),
    account=account,
)

TASK = layered_task(
    "dehaze",
    "take off haze and fog: the clear picture, the transmission and the airlight",
    RECIPE,
    uses=frozenset({"strength"}),
    on_cpu=frozenset({"fast", "balanced", "best"}),
    bench=BenchClip(haze),
)
