"""Take a watermark off a picture with a box, off several pictures that share it, or off a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.bench.clips import watermark
from pipeline.framewise.run import Output, Recipe, layered_task
from pipeline.task import BenchClip
from stages.watermark.diagnose import diagnose
from stages.watermark.effort import Effort
from stages.watermark.layers import separate
from stages.watermark.survey import WatermarkSurvey, survey


def account(figures: Mapping[str, float]) -> str:
    """Return a sentence on how much the mark covers, and what was computed or filled in.

    The sentence is empty for the preset ``paper``, which does not measure this.
    """
    if "marked_part" not in figures:
        return ""
    if figures["opacity"] == 0:
        return "No mark was found: the clean layer is the input."
    covered = figures["explained"] + figures["invented"]
    covered_part = f"The mark that was found covers {100 * covered:.1f} % of the picture"
    covered_part = _repetitions(figures) + covered_part
    if figures["invented"] == 0:
        return f"{covered_part}: what is beneath was computed from what shows through."
    if figures["explained"] == 0:
        return f"{covered_part}: nothing shows through, so that all of it is filled in."
    filled = 100 * figures["invented"] / covered
    return (
        f"{covered_part}: {filled:.0f} % of that is filled in, "
        "the rest was computed from what shows through."
    )


def _repetitions(figures: Mapping[str, float]) -> str:
    """Return a sentence on how often a mark repeats over one picture, or nothing."""
    if "repetitions" not in figures:
        return ""
    return (
        f"A mark repeats {figures['repetitions']:.0f} times over the picture: at its steps, edges "
        f"agree {figures['repetition_strength']:.0f} standard deviations more than elsewhere. "
    )


RECIPE = Recipe(
    outputs=(
        Output("clean"),
        Output("watermark", sound=False),
        Output("matte", sound=False, data=True, gray=True),
    ),
    survey=survey,
    separate=separate,
    kinds=(WatermarkSurvey, Effort),
    confident=("clean",),
    account=account,
    beyond={"clean": "input", "watermark": "nearest", "matte": "none"},
    surveying=0.5,  # undoing the mark takes almost no time; filling an opaque one takes the rest
)

TASK = replace(
    layered_task(
        "watermark",
        "take off a watermark or a channel's logo: the clean picture, the mark and its matte",
        RECIPE,
        uses=frozenset({"confidence", "force", "hint", "mark"}),
        bench=BenchClip(watermark),
    ),
    diagnose=diagnose,
    auto_order=1,
)
