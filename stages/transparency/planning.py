"""Choose how much work goes into separating two moving layers, by preset or by a time budget."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import shrunk
from stages.optim.budget import EXTRAPOLATED
from stages.optim.timing import call_and_step
from stages.transparency.clip import separate_clip
from stages.transparency.plans import PLANS, SMALLER, SMALLEST, ClipPlan

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
    cost = _measure_trial(light)
    seconds_left = EXTRAPOLATED * budget - (time.monotonic() - began)
    frame_pixels = light.shape[-2] * light.shape[-1]
    for plan in (PLANS["best"], *SMALLER):
        if cost.seconds_of(plan, frame_pixels, len(light)) <= seconds_left:
            return plan
    return SMALLEST


@dataclass(frozen=True)
class _TrialCost:
    """The measured cost of separating a few small frames.

    mosaics: seconds that the mosaics took. pixels: pixels of a frame of the trial.
    turn_a_pixel: seconds of a turn for each pixel of all frames.
    """

    mosaics: float
    pixels: int
    turn_a_pixel: float

    def seconds_of(self, plan: ClipPlan, frame_pixels: int, count: int) -> float:
        """Return the expected seconds of a plan for ``count`` frames of so many pixels.

        The cost of sweeps grows with the number and size of the frames. Mosaics look at a bounded
        number of frames.
        """
        steps = (plan.mosaic_steps + TRIAL_MOSAIC_STEPS) / TRIAL_MOSAIC_STEPS
        mosaic_pixels = min(plan.mosaic_pixels, frame_pixels)
        seconds = self.mosaics * FRAMES_FACTOR * mosaic_pixels / self.pixels * steps
        swept_pixels = min(plan.pixels, frame_pixels) * count
        seconds += self.turn_a_pixel * swept_pixels * (plan.turns + FIXED_TURNS)
        if plan.full and frame_pixels > plan.pixels:
            seconds += FULL_SIZE_TURNS * self.turn_a_pixel * frame_pixels * count
        return seconds


def _measure_trial(light: Tensor) -> _TrialCost:
    """Separate a few of the frames ``(T, 3, H, W)`` at a small size; return what that costs."""
    few = shrunk(light[:TRIAL_FRAMES], TRIAL_PIXELS)
    trial = replace(
        SMALLEST, pixels=TRIAL_PIXELS, mosaic_pixels=TRIAL_PIXELS, mosaic_steps=TRIAL_STEPS
    )
    mosaics, turn = call_and_step(
        lambda turns: separate_clip(few, replace(trial, turns=turns), lambda done: None), 0, 1
    )
    pixels = few.shape[-2] * few.shape[-1]
    return _TrialCost(mosaics, pixels, turn / (len(few) * pixels))
