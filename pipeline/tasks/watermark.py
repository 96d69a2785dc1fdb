"""Take a watermark off a picture with a box around it, off several pictures that share it, or a channel's logo off a clip."""

from __future__ import annotations

from pipeline.layered import Output, Recipe, layered_task
from stages.watermark.layers import Effort, Facts, separate, survey

RECIPE = Recipe(
    outputs=(Output("clean"), Output("watermark", sound=False), Output("matte", sound=False, data=True)),
    survey=survey,
    separate=separate,
    kinds=(Facts, Effort),
    surveying=0.5,  # undoing the mark, once it is drawn, takes next to nothing; filling an opaque one takes the rest
)

TASK = layered_task(
    "watermark",
    "take off a watermark or a channel's logo: the clean picture, the mark and its matte",
    RECIPE,
    uses=frozenset({"hint"}),
)
