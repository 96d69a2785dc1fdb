"""Take a watermark off a picture with a box around it, off several pictures that share it, or a channel's logo off a clip."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.layered import Output, Recipe, layered_task
from stages.watermark.layers import Effort, Facts, separate, survey


def account(figures: Mapping[str, float]) -> str:
    """Say how much of the picture the mark covers, and what stands in its place."""
    if "marked_part" not in figures:
        return ""
    covered = figures["explained"] + figures["invented"]
    if covered == 0:
        return "No mark was found: the clean layer is the input."
    filled = f"{100 * figures['invented'] / covered:.0f} % of that is filled in"
    return f"The mark that was found covers {100 * covered:.1f} % of the picture: {filled}, the rest is computed from what shows through."


RECIPE = Recipe(
    outputs=(Output("clean"), Output("watermark", sound=False), Output("matte", sound=False, data=True)),
    survey=survey,
    separate=separate,
    kinds=(Facts, Effort),
    account=account,
    surveying=0.5,  # undoing the mark, once it is drawn, takes next to nothing; filling an opaque one takes the rest
)

TASK = layered_task(
    "watermark",
    "take off a watermark or a channel's logo: the clean picture, the mark and its matte",
    RECIPE,
    uses=frozenset({"hint"}),
)
