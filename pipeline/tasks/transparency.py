"""Separate reflections and other sums: seen through a pane, and reflected by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.bench.clips import reflection
from pipeline.framewise.run import Output, Recipe, layered_task
from pipeline.task import BenchClip
from stages.transparency.diagnose import diagnose
from stages.transparency.layer_order import CLEARLY_SHARPER
from stages.transparency.layers import separate, settle, survey
from stages.transparency.separated_light import TransparencySurvey


def account(figures: Mapping[str, float]) -> str:
    """Say what tells the two layers apart."""
    if figures.get("untouched", 0.0) == 1.0:
        return "No reflection was removed: the transmission is the input."
    if "whole_fit_steps" in figures:
        return "The layers were told apart by the published networks alone."
    if "fit_steps" in figures:
        return "The layers were told apart by coupled generators alone."
    if any(name.startswith("weight_") for name in figures):
        return "The layers follow from several mixtures of the same two pictures."
    if "textures" in figures:
        return "Two textures add up here; each repeats in its own way, which tells them apart."
    if "turns" in figures:
        named = ""
        if figures.get("focus", CLEARLY_SHARPER) < CLEARLY_SHARPER:
            named = " Neither layer is clearly in focus, so their names may be swapped."
        return (
            "The layers were told apart by two motions; "
            "where nothing moves, what belongs to which is a guess." + named
        )
    return "The reflection is a guess from one picture's colours and contrast."


RECIPE = Recipe(
    outputs=(Output("transmission"), Output("reflection", sound=False)),
    survey=survey,
    separate=separate,
    settle=settle,
    memory=40,
    kinds=(TransparencySurvey,),
    account=account,
    beyond={"transmission": "input", "reflection": "none"},
    bars_of_pictures=False,  # layers of several mixtures have weights
)

TASK = replace(
    layered_task(
        "transparency",
        "undo reflections and other sums of two layers: "
        "what lies behind the glass, and what it reflects",
        RECIPE,
        uses=frozenset({"force", "space", "strength"}),
        on_cpu=frozenset({"fast", "balanced", "best"}),
        bench=BenchClip(reflection),
    ),
    diagnose=diagnose,
    auto_order=2,
    explains=frozenset({"dehaze"}),
)
