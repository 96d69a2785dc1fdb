"""Choose how much work goes into separating two moving layers, by preset or by a time budget."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import shrunk
from stages.optim.budget import EXTRAPOLATED
from stages.optim.timing import call_and_step
from stages.transparency.clip import ClipPlan, separate_clip

PLANS: dict[str, ClipPlan] = {
    "best": ClipPlan(960 * 540, 320 * 180, 300, 4, True),
    "balanced": ClipPlan(480 * 270, 200 * 112, 150, 2, True),
    "fast": ClipPlan(320 * 180, 160 * 90, 80, 1, False),
}
SMALLER: tuple[ClipPlan, ...] = (
    PLANS["balanced"],
    ClipPlan(480 * 270, 200 * 112, 100, 1, False),
    PLANS["fast"],
    ClipPlan(240 * 136, 120 * 68, 40, 1, False),
    ClipPlan(240 * 136, 120 * 68, 20, 0, False),
)
"""Plans for a time budget in which ``best`` does not fit, the largest first."""


def plan_for(light: Tensor, context: SeparationContext) -> ClipPlan:
    """Return the preset's plan, or the largest that fits in the budget; a resumed run keeps it.

    light: the frames ``(T, 3, H, W)`` to separate, in which the steps are timed.
    """
    budget = context.settings.max_seconds
    if budget is None:
        return PLANS[context.settings.preset]
    plan = partial(plan_within, light, budget)
    return context.checkpoints.compute_and_save("plan", plan, ClipPlan)


def plan_within(light: Tensor, budget: float) -> ClipPlan:
    """Return the largest plan that fits in ``budget`` seconds, by the measured cost of a trial.

    light: the window's frames, ``(T, 3, H, W)``, in the space in which layers add.
    """
    began = time.monotonic()
    full = light.shape[-2] * light.shape[-1]
    trial = replace(SMALLER[-1], pixels=96 * 54, mosaic_pixels=96 * 54, mosaic_steps=5)
    # A few small frames: the cost of sweeps grows with their number and size, and mosaics look at a
    # bounded number of frames.
    few = shrunk(light[:6], trial.pixels)
    once, turn = call_and_step(
        lambda turns: separate_clip(few, replace(trial, turns=turns), lambda done: None), 0, 1
    )
    sample = few.shape[-2] * few.shape[-1]
    per_turn = turn / (len(few) * sample)
    left = EXTRAPOLATED * budget - (time.monotonic() - began)
    for plan in (PLANS["best"], *SMALLER):
        pixels = min(plan.pixels, full) * len(light)
        # The trial fits 12 short mosaics of half as many frames as usual.
        steps = (plan.mosaic_steps + 60) / 60
        work = once * 2 * min(plan.mosaic_pixels, full) / sample * steps
        work += per_turn * pixels * (plan.turns + 0.2)
        if plan.full and full > plan.pixels:
            work += 0.4 * per_turn * full * len(light)
        if work <= left:
            return plan
    return SMALLER[-1]
