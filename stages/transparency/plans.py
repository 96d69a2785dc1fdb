"""How much work goes into separating two moving layers: the plans of the presets, and smaller ones.

:mod:`stages.transparency.planning` chooses one of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipPlan:
    """The work on one window of frames.

    pixels: pixels of the frames for flow and sweeps. mosaic_pixels, mosaic_steps: pixels and steps
    of the mosaics. turns: number of rounds of flow and sweeps. full: whether a last sweep goes over
    the frames at full size.
    """

    pixels: int
    mosaic_pixels: int
    mosaic_steps: int
    turns: int
    full: bool


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
SMALLEST = SMALLER[-1]
"""The plan of a quick look, which only needs the motions or the rough layers."""
