"""How much work a transition gets: steps and turns, fixed before the work begins.

A preset is a plan. A budget in seconds becomes one too: a short calibration measures what a step of each kind costs here and now, and
the largest plan that fits is taken. From then on nothing looks at the clock, so the same plan gives the same layers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from models.generator import NARROW_WIDTHS
from stages.context import BUDGET_PART, FitSettings
from stages.mixing.mixing import Mixture, shrink
from stages.motion.carry import carry, reaching
from stages.motion.flow import flows, warp
from stages.optim.fit import FitPlan
from stages.optim.threads import workers
from stages.optim.timing import seconds_a_step, seconds_of
from stages.transition.networks import fit_layers, fit_paper
from stages.transition.sweep import DISTANCES, SWEEPS
from stages.transition.tie import MOST, TIES

Levels = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Plan:
    """The work on one transition.

    pixels: largest picture that is worked on; a larger one is worked on in a smaller size and finished in its own.
    levels: divisors of the sides and steps of the joint motion fit. fit_steps: steps of the networks, 0 for none.
    turns: motion sweeps in a round. ties: as ``levels``, of the tied motion that ends a round.
    rounds: how often sweeps and ties take turns. paper_steps: with a number, the published method instead.
    """

    pixels: int
    levels: Levels
    turns: int
    ties: Levels = ()
    fit_steps: int = 0
    rounds: int = 1
    paper_steps: int = 0


LARGEST = 960 * 540
"""Pixels of the largest picture that any plan works on."""

PLANS: dict[str, Plan] = {
    "best": Plan(LARGEST, ((4, 200), (2, 120), (1, 100)), 4, ((2, 30), (1, 30)), 800, 2),
    # Coarse ties first, and few fine ones: as good as (2, 30), (1, 20), in six tenths of the time.
    "balanced": Plan(LARGEST, ((4, 150), (2, 100), (1, 80)), 3, ((4, 20), (2, 15), (1, 14)), 600),
    "fast": Plan(480 * 270, ((4, 120), (2, 70), (1, 30)), 2),
    "paper": Plan(LARGEST, (), 0, paper_steps=4000),
}

SMALLER: tuple[Plan, ...] = (
    PLANS["balanced"],
    Plan(LARGEST, ((4, 150), (2, 100), (1, 80)), 3, ((4, 20), (2, 15)), 600),
    Plan(LARGEST, ((4, 150), (2, 100), (1, 80)), 3, (), 400),
    Plan(LARGEST, ((4, 120), (2, 80), (1, 40)), 2),
    PLANS["fast"],
    Plan(320 * 180, ((4, 80), (2, 50), (1, 20)), 1),
    Plan(240 * 136, ((4, 40), (2, 20)), 1),
)
"""What a budget is filled with when ``best`` is too much for it, the largest first."""

MIXED_BYTES, CLEAN_BYTES, TIE_BYTES, FULL_BYTES = 220, 81, 24, 280
"""Bytes that a transition takes when it takes most, measured (``tests/measure_memory.py``): for each pixel of a mixed and of a clean frame
at the working size, of a tie at its level, and of one frame in full, of which :mod:`stages.transition.separate` holds a few."""

LEAST = 64 * 36
"""Pixels of the smallest pictures that are worth working on."""

TIE = 1.4  # what a tie costs in a step to what a frame costs in a step of the carrying
SOLVE = 4  # steps of the ties at full size that solving the layers behind a level costs
SAMPLE = 256 * 144  # pixels of the pictures that are measured on
NETWORK_PIXELS = 3000  # of the pictures that the networks draw


def plan_for(mixture: Mixture, settings: FitSettings) -> Plan:
    """The preset's plan, or with ``max_seconds`` the largest that fits in it."""
    return plans_for(mixture, [mixture.last - mixture.first + 1], settings)[0]


def plans_for(
    mixture: Mixture, counts: Sequence[int], settings: FitSettings, costs: Costs | None = None
) -> list[Plan]:
    """A plan for each of several transitions of one clip, with ``counts`` mixed frames; ``max_seconds`` are for all of them.

    The seconds are shared out by frames, and what a step costs is measured on one of them, ``mixture``, where ``costs`` are not known.
    """
    if settings.preset not in PLANS:
        raise ValueError(f"no preset {settings.preset!r}; there are {', '.join(PLANS)}")
    if settings.max_seconds is None:
        return [PLANS[settings.preset]] * len(counts)
    began = time.monotonic()
    paper = settings.preset == "paper"
    costs = costs or Costs(mixture, settings, paper=paper)
    left = BUDGET_PART * settings.max_seconds - (time.monotonic() - began)
    plans = []
    for count in counts:
        share = left * count / sum(counts)
        if paper:
            plans.append(replace(PLANS["paper"], paper_steps=max(1, int(share / costs.paper))))
        else:
            fitting = (plan for plan in (PLANS["best"], *SMALLER) if costs.of(plan, count) <= share)
            plans.append(next(fitting, SMALLER[-1]))
    return plans


def bytes_of(pixels: int, mixed: int, clean: int, full: int) -> int:
    """The memory, in bytes, that a transition takes with so many mixed and clean frames of ``full`` pixels, worked on at ``pixels``."""
    area = min(pixels, full)
    ties = min(MOST, TIES * mixed * area)
    return area * (MIXED_BYTES * mixed + CLEAN_BYTES * clean) + TIE_BYTES * ties + FULL_BYTES * full


def within_memory(plan: Plan, memory: int, mixed: int, clean: int, full: int) -> Plan:
    """The plan with pictures small enough to take ``memory`` bytes at most, if they need not be smaller than :data:`LEAST` for it."""
    left, each = memory - FULL_BYTES * full, MIXED_BYTES * mixed + CLEAN_BYTES * clean
    # Ties take a share for each pixel or, where there are many pixels, the most that they ever take.
    most = max(left // (each + TIE_BYTES * TIES * mixed), (left - TIE_BYTES * MOST) // each)
    return replace(plan, pixels=min(plan.pixels, max(LEAST, most)))


class Costs:
    """Seconds of each kind of step on this machine, measured on the clip itself at a small size."""

    def __init__(self, mixture: Mixture, settings: FitSettings, *, paper: bool = False) -> None:
        self.settings = settings
        self.area = float(mixture.frames.shape[-2] * mixture.frames.shape[-1])
        self.side = min(mixture.frames.shape[-2:])
        self.sample = sample = shrink(mixture, SAMPLE)
        self.sampled = float(sample.frames.shape[-2] * sample.frames.shape[-1])
        count = mixture.last - mixture.first + 1
        if paper:
            self.paper = self.paper_step(PLANS["paper"])
            return
        # A step costs by its pixels, but for the smallest pictures, where what costs is to begin each of its operations.
        self.least = self._carry_step(8, 9)
        self.carry = self._carry_step(1, 4) / (self.sampled * count)
        pair = (sample.first, sample.first)
        found = flows(sample.frames, [pair])[pair][None]
        frame = sample.frames[sample.first][None]
        self.flow = seconds_of(lambda: flows(sample.frames, [pair])) / self.sampled
        self.warp = seconds_of(lambda: warp(frame, found)) / self.sampled
        self.fit = self.fit_step()

    def of(self, plan: Plan, count: int) -> float:
        """Seconds of ``plan`` for ``count`` mixed frames."""
        area = min(self.area, float(plan.pixels))
        links = 2 * len(DISTANCES) * 2 * count * area
        # Flows are found side by side, one a thread.
        turns = links * (2 * self.flow / workers() + 2 * SWEEPS * self.warp)
        # A step of the ties warps each tie as a step of the carrying warps each frame, and looks up which frame that is.
        ties = TIE * TIES * self._motion((*plan.ties, (1, SOLVE * len(plan.ties))), area * count)
        levels = reaching(plan.levels, round(self.side * (area / self.area) ** 0.5))
        return (
            self._motion(levels, area * count)
            + (turns * plan.turns + ties) * plan.rounds
            + plan.fit_steps * self.fit
        )

    def _motion(self, levels: Levels, pixels: float) -> float:
        """Seconds of a motion fit on so many pixels in all frames."""
        return sum(
            steps * max(self.least, self.carry * pixels / scale**2) for scale, steps in levels
        )

    def _carry_step(self, scale: int, steps: int) -> float:
        """Seconds of a step at ``1 / scale`` of the sides, from ``steps`` of them."""
        carry(
            self.sample, [(scale, 1)], device=self.settings.device
        )  # the first call also starts threads and allocates
        # What every call pays once (flow of the clean frames, carrying at full size) is taken off by the difference.
        return seconds_a_step(
            lambda count: carry(self.sample, [(scale, count)], device=self.settings.device),
            1,
            1 + steps,
        )

    def fit_step(self) -> float:
        """Seconds of a step of the networks."""
        small = shrink(self.sample, NETWORK_PIXELS)
        work = partial(
            fit_layers,
            small,
            seed=0,
            device=self.settings.device,
            learn_weight=False,
            widths=NARROW_WIDTHS,
        )
        work(plan=FitPlan(1))  # the first call also probes the precision and allocates
        return seconds_a_step(lambda steps: work(plan=FitPlan(steps)), 1, 21)

    def paper_step(self, plan: Plan) -> float:
        """Seconds of a step of the published networks."""
        spent = seconds_of(
            lambda: fit_paper(self.sample, steps=2, seed=0, device=self.settings.device)
        )
        return max(spent / 2, 1e-4) * min(self.area, float(plan.pixels)) / self.sampled
