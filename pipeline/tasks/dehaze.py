"""Remove haze or fog from a clip or a picture: clear layer, transmission and airlight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.bench.clips import haze
from pipeline.framewise.run import Output, Recipe, layered_task
from pipeline.task import BenchClip
from stages.dehaze.diagnose import diagnose
from stages.dehaze.layers import DehazeSurvey, separate, settle, survey


def account(figures: Mapping[str, float]) -> str:
    """Say how much haze there is and how much of it was removed."""
    if figures.get("untouched", 0.0) == 1.0:
        return "No haze was removed: the clear layer is the input."
    lost = 100 * (1 - figures["mean_transmission"])
    power = 100 * figures.get("power", 1.0)
    return (
        f"The haze that was removed hides {lost:.0f} % of the light on average, "
        f"which is {power:.0f} % of the optical depth that may be haze."
    )


RECIPE = Recipe(
    outputs=(
        Output("clear"),
        Output("transmission", sound=False, data=True, gray=True),
        Output("airlight", sound=False),
    ),
    survey=survey,
    separate=separate,
    settle=settle,
    kinds=(DehazeSurvey,),
    account=account,
    beyond={"clear": "input", "transmission": "all", "airlight": "nearest"},
)

TASK = replace(
    layered_task(
        "dehaze",
        "take off haze and fog: the clear picture, the transmission and the airlight",
        RECIPE,
        uses=frozenset({"force", "strength"}),
        on_cpu=frozenset({"fast", "balanced", "best"}),
        bench=BenchClip(haze),
    ),
    diagnose=diagnose,
    auto_order=2,
)
