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
from stages.transparency.clip import separate_clip
from stages.transparency.planes import ClipPlan

PLANS: dict[str, ClipPlan] = {
    "best": ClipPlan(960 * 540, 320 * 180, mosaic_steps=300, turns=4, full=True),
    "balanced": ClipPlan(480 * 270, 200 * 112, mosaic_steps=150, turns=2, full=True),
    "fast": ClipPlan(320 * 180, 160 * 90, mosaic_steps=80, turns=1, full=False),
}
SMALLER: tuple[ClipPlan, ...] = (
    PLANS["balanced"],
    ClipPlan(480 * 270, 200 * 112, mosaic_steps=100, turns=1, full=False),
    PLANS["fast"],
    ClipPlan(240 * 136, 120 * 68, mosaic_steps=40, turns=1, full=False),
    ClipPlan(240 * 136, 120 * 68, mosaic_steps=20, turns=0, full=False),
)
"""Plans for a time budget in which ``best`` does not fit, the largest first."""

TRIAL_FRAMES, TRIAL_PIXELS, TRIAL_STEPS = 6, 96 * 54, 5
"""Frames, their pixels, and steps of the mosaics in the trial that measures the cost of a plan."""
FRAMES_FACTOR = 2
"""Cost of usual mosaics relative to those of the trial, which see half as many frames."""
TRIAL_MOSAIC_STEPS = 60
"""Steps of all mosaics of the trial together: 12 mosaics of 5 steps."""
FIXED_TURNS = 0.2
"""Cost of the work around the turns, in turns."""
FULL_SIZE_TURNS = 0.4
"""Cost of the last sweep at full size, in turns at that size."""


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
    trial = replace(
        SMALLER[-1], pixels=TRIAL_PIXELS, mosaic_pixels=TRIAL_PIXELS, mosaic_steps=TRIAL_STEPS
    )
    # A few small frames: the cost of sweeps grows with their number and size, and mosaics look at a
    # bounded number of frames.
    few = shrunk(light[:TRIAL_FRAMES], trial.pixels)
    once, turn = call_and_step(
        lambda turns: separate_clip(few, replace(trial, turns=turns), lambda done: None), 0, 1
    )
    sample = few.shape[-2] * few.shape[-1]
    per_turn = turn / (len(few) * sample)
    left = EXTRAPOLATED * budget - (time.monotonic() - began)
    for plan in (PLANS["best"], *SMALLER):
        pixels = min(plan.pixels, full) * len(light)
        steps = (plan.mosaic_steps + TRIAL_MOSAIC_STEPS) / TRIAL_MOSAIC_STEPS
        work = once * FRAMES_FACTOR * min(plan.mosaic_pixels, full) / sample * steps
        work += per_turn * pixels * (plan.turns + FIXED_TURNS)
        if plan.full and full > plan.pixels:
            work += FULL_SIZE_TURNS * per_turn * full * len(light)
        if work <= left:
            return plan
    return SMALLER[-1]
