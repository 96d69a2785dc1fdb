"""Take reflections and other sums apart: what is seen through the pane, and what the pane reflects; from a picture, several, or a clip."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.bench.clips import reflection
from pipeline.framewise.run import Output, Recipe, layered_task
from pipeline.task import BenchClip
from stages.transparency.layers import Facts, separate, settle, survey


def account(figures: Mapping[str, float]) -> str:
    """Say what the two layers were told apart by."""
    if figures.get("untouched", 0.0) == 1.0:
        return "No reflection was taken off: the transmission is the input."
    if "fit_steps" in figures:
        return "The layers were told apart by two networks, as published."
    if any(name.startswith("weight_") for name in figures):
        return "The layers follow from several mixtures of the same two pictures."
    if "turns" in figures:
        return "The layers were told apart by two motions; where nothing moves, who owns what is a guess."
    return "The reflection is a guess from one picture's colours and contrast."


RECIPE = Recipe(
    outputs=(Output("transmission"), Output("reflection", sound=False)),
    survey=survey,
    separate=separate,
    settle=settle,
    memory=40,
    kinds=(Facts,),
    account=account,
)

TASK = layered_task(
    "transparency",
    "undo reflections and other sums of two layers: what lies behind the glass, and what it reflects",
    RECIPE,
    uses=frozenset({"space", "strength"}),
    on_cpu=frozenset({"fast", "balanced", "best"}),
    bench=BenchClip(reflection),
)
