"""The task ``segment``: foreground, background and matte of a clip or a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.bench.clips import foreground
from pipeline.framewise.recipe import Division
from pipeline.framewise.run import Output, Recipe, layered_task
from pipeline.task import BenchClip
from stages.segment.diagnose import diagnose
from stages.segment.layers import WORK_PIXELS, separate, settle
from stages.segment.networks import FIT_PIXELS
from stages.segment.plate import Plate
from stages.segment.survey import SegmentSurvey, survey
from stages.segment.thing_layers import layers_of_thing, thing_numbers
from stages.segment.votes import VOTE_PIXELS

LEAST_TOLD = 0.0005
"""Part of the picture below which it is said that the foreground covers less than 0.1 %."""


def account(figures: Mapping[str, float]) -> str:
    """Return a sentence on how much the foreground hides and where the background comes from."""
    hidden = figures["explained"] + figures["invented"]
    if hidden < LEAST_TOLD:
        return (
            "The foreground covers less than 0.1 % of the picture: "
            "nearly all of the background is the input."
        )
    hidden_part = f"The foreground and its edge hide {100 * hidden:.1f} % of the background"
    seen = 100 * figures["explained"] / hidden
    if seen < 0.5:
        return f"{hidden_part}: no other frame shows it, so that it is filled in."
    rest = ", the rest is filled in." if seen < 99.5 else "."
    return f"{hidden_part}: {seen:.0f} % of that is seen in other frames{rest}"


RECIPE = Recipe(
    outputs=(
        Output("foreground", alpha="matte", divided=True),
        Output("background"),
        Output("matte", sound=False, data=True, gray=True, divided=True),
    ),
    survey=survey,
    separate=separate,
    settle=settle,
    account=account,
    beyond={"foreground": "input", "background": "input", "matte": "none"},
    memory=36,
    carried=("matte",),
    division=Division("things", thing_numbers, layers_of_thing),
    kinds=(SegmentSurvey, Plate),
    confident=("foreground", "background", "matte"),
    limits={
        "motion": WORK_PIXELS,
        "votes": VOTE_PIXELS,
        "networks": FIT_PIXELS,
        "edges": WORK_PIXELS,
    },
)

TASK = replace(
    layered_task(
        "segment",
        "foreground and background: what moves against the camera (in a picture: what stands out), "
        "and all that lies behind it",
        RECIPE,
        uses=frozenset({"alpha", "confidence", "hint", "hint_background", "layers", "refine"}),
        bench=BenchClip(foreground),
    ),
    diagnose=diagnose,
    auto_order=4,
)
