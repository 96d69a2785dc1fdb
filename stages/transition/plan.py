"""How much work a transition gets: steps and turns, fixed before the work begins.

A preset is a plan. A budget in seconds becomes one: a short calibration measures what each kind of
step costs on this machine, and the largest plan that fits is taken. From then on nothing looks at
the clock, so the same plan gives the same layers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from models.generator import NARROW_WIDTHS
from stages.context import FitSettings
from stages.mixing.mixture import Mixture, shrink
from stages.motion.carry import carry, coarser_levels
from stages.motion.flow import flows, warp
from stages.motion.links import DISTANCES
from stages.optim.budget import MEASURED_STAGES
from stages.optim.fit import FitPlan
from stages.optim.threads import workers
from stages.optim.timing import LEAST_STEP, seconds_a_step, seconds_of
from stages.published.transition import STEPS as PAPER_STEPS
from stages.published.transition import fit_transition
from stages.transition.networks import NetworkOptions, fit_layers
from stages.transition.sweep import SWEEPS
from stages.transition.tie import MOST_PIXELS
from stages.transition.ties import MOST_TIES

Levels = tuple[tuple[int, int], ...]
"""Pairs of a divisor of the sides and a number of steps, the coarsest first."""


@dataclass(frozen=True)
class Plan:
    """The work on one transition.

    pixels: of the largest picture that is worked on. A larger one is worked on at a smaller size,
        and finished at its own.
    levels: of the motion fit. turns: of the motion sweeps in a round.
    ties: levels of the tied motion that ends a round. fit_steps: of the networks; 0 for none.
    rounds: how often sweeps and ties take turns.
    paper_steps: of the published method, which replaces all else where it is not 0.
    coupled_steps: of the generators alone, which replace all else where it is not 0.
    """

    pixels: int
    levels: Levels
    turns: int
    ties: Levels = ()
    fit_steps: int = 0
    rounds: int = 1
    paper_steps: int = 0
    coupled_steps: int = 0

    @property
    def networks_alone(self) -> bool:
        """Whether networks do all the work, without motion."""
        return bool(self.paper_steps or self.coupled_steps)


LARGEST_WORK_PIXELS = 960 * 540
"""Pixels of the largest picture that any plan works on."""

PLANS: dict[str, Plan] = {
    "best": Plan(
        LARGEST_WORK_PIXELS,
        levels=((4, 200), (2, 120), (1, 100)),
        turns=4,
        ties=((2, 30), (1, 30)),
        fit_steps=800,
        rounds=2,
    ),
    "balanced": Plan(
        LARGEST_WORK_PIXELS,
        levels=((4, 150), (2, 100), (1, 80)),
        turns=3,
        # Coarse ties first and few fine ones: as good as (2, 30), (1, 20), in 0.6 of the time.
        ties=((4, 20), (2, 15), (1, 14)),
        fit_steps=600,
    ),
    "fast": Plan(480 * 270, levels=((4, 120), (2, 70), (1, 30)), turns=2),
    "paper": Plan(LARGEST_WORK_PIXELS, levels=(), turns=0, paper_steps=PAPER_STEPS),
    "coupled": Plan(480 * 270, levels=(), turns=0, coupled_steps=600),
}
"""The plan of each preset."""

BUDGET_PLANS: tuple[Plan, ...] = (
    PLANS["balanced"],
    replace(PLANS["balanced"], ties=((4, 20), (2, 15))),
    replace(PLANS["balanced"], ties=(), fit_steps=400),
    Plan(LARGEST_WORK_PIXELS, levels=((4, 120), (2, 80), (1, 40)), turns=2),
    PLANS["fast"],
    Plan(320 * 180, levels=((4, 80), (2, 50), (1, 20)), turns=1),
    Plan(240 * 136, levels=((4, 40), (2, 20)), turns=1),
)
"""The plans that a budget is filled with where ``best`` does not fit, the largest first."""

MIXED_BYTES, CLEAN_BYTES, TIE_BYTES, FULL_BYTES = 220, 81, 24, 280
"""Peak memory of a transition in bytes per pixel, measured by ``tests/measure_memory.py``: of a
mixed and of a clean frame at the working size, of a tie at its level, and of one frame at full
size, of which :mod:`stages.transition.separate` holds a few."""

LEAST_WORK_PIXELS = 64 * 36
"""Pixels of the smallest pictures that are worth working on."""

TIE_COST = 1.4
"""Cost of a tie in a step, in units of that of a frame in a step of the motion fit."""

OFFERS_COST = 35
"""Cost of the offers of motion after a level, in steps of the motion fit at that level."""

SOLVE_COST = 4
"""Cost of solving for the layers after a level of ties, in steps of the ties at full size."""

SAMPLE_PIXELS = 256 * 144
"""Pixels of the pictures on which costs are measured."""

NETWORK_PIXELS = 3000
"""Pixels of the pictures that the networks draw."""

PAPER_TRIAL_STEPS, COUPLED_TRIAL_STEPS = 3, 10
"""Steps of the published method, and of the generators alone, by which their cost is measured."""

MOST_COUPLED_STEPS = 3000
"""Most steps of the generators alone within a time budget."""


def plan_for(mixture: Mixture, settings: FitSettings) -> Plan:
    """Return the plan of the preset, or with ``max_seconds`` the largest that fits in them.

    Raises ValueError where there is no such preset.
    """
    return plans_for(mixture, [mixture.count], settings)[0]


def plans_for(
    mixture: Mixture, counts: Sequence[int], settings: FitSettings, costs: Costs | None = None
) -> list[Plan]:
    """Return a plan for each of several transitions of one clip.

    mixture: one of them, on which costs are measured. counts: mixed frames of each; they divide
    ``max_seconds``, which are for all transitions together. costs: measured before; measured here
    unless given.

    Raises ValueError where there is no such preset.
    """
    if settings.preset not in PLANS:
        raise ValueError(f"no preset {settings.preset!r}; there are {', '.join(PLANS)}")
    if settings.max_seconds is None:
        return [PLANS[settings.preset]] * len(counts)
    began = time.monotonic()
    preset = PLANS[settings.preset]
    costs = costs or Costs(mixture, settings, alone=preset.networks_alone)
    seconds_left = MEASURED_STAGES * settings.max_seconds - (time.monotonic() - began)
    plans = []
    for count in counts:
        seconds = seconds_left * count / sum(counts)
        if preset.networks_alone:
            plans.append(_with_steps(preset, max(1, int(seconds / costs.alone_step))))
        else:
            plans.append(_largest_within(seconds, count, costs))
    return plans


def _with_steps(preset: Plan, steps: int) -> Plan:
    """Return the plan of a preset with networks alone, with ``steps`` or the most it may have."""
    if preset.paper_steps:
        return replace(preset, paper_steps=min(preset.paper_steps, steps))
    return replace(preset, coupled_steps=min(MOST_COUPLED_STEPS, steps))


def _largest_within(seconds: float, count: int, costs: Costs) -> Plan:
    """Return the largest plan for ``count`` mixed frames that fits, or else the smallest one."""
    for plan in (PLANS["best"], *BUDGET_PLANS):
        if costs.of(plan, count) <= seconds:
            return plan
    return BUDGET_PLANS[-1]


def bytes_of(pixels: int, mixed: int, clean: int, full: int) -> int:
    """Return the peak memory of a transition, in bytes.

    pixels: of a frame at the working size. mixed, clean: numbers of frames.
    full: pixels of a frame at full size.
    """
    area = min(pixels, full)
    ties = min(MOST_PIXELS, MOST_TIES * mixed * area)
    return area * (MIXED_BYTES * mixed + CLEAN_BYTES * clean) + TIE_BYTES * ties + FULL_BYTES * full


def within_memory(plan: Plan, memory: int, mixed: int, clean: int, full: int) -> Plan:
    """Return the plan with pictures small enough to need ``memory`` bytes at most.

    They do not get smaller than :data:`LEAST_WORK_PIXELS`. Other arguments as in :func:`bytes_of`.
    """
    left = memory - FULL_BYTES * full
    each = MIXED_BYTES * mixed + CLEAN_BYTES * clean
    # Ties need memory for each pixel or, where there are many, the most that they ever need.
    by_pixel = left // (each + TIE_BYTES * MOST_TIES * mixed)
    most = max(by_pixel, (left - TIE_BYTES * MOST_PIXELS) // each)
    return replace(plan, pixels=min(plan.pixels, max(LEAST_WORK_PIXELS, most)))


class Costs:
    """Seconds of each kind of step on this machine, measured on the clip itself at a small size.

    mixture: the transition to measure on. settings: device and preset.
    alone: measure only a step of the networks of a preset that has nothing else.

    pixels, side: of a frame, and of its shorter side. sample, sample_pixels: what is measured on.
    carry_per_pixel: of a step of the motion fit, for each pixel of the mixed frames; at least
        ``least_step``.
    flow_per_pixel, warp_per_pixel: of one flow and one warp.
    fit_step: of a step of the networks. alone_step: the same where there is nothing else.
    """

    def __init__(self, mixture: Mixture, settings: FitSettings, *, alone: bool = False) -> None:
        self.settings = settings
        self.pixels = float(mixture.size[0] * mixture.size[1])
        self.side = min(mixture.size)
        sample = self.sample = shrink(mixture, SAMPLE_PIXELS).to(settings.device)
        self.sample_pixels = float(sample.size[0] * sample.size[1])
        if alone:
            self.alone_step = self.measure_alone_step(PLANS[settings.preset])
            return
        # A step costs by its pixels, except for the smallest pictures, where starting the
        # operations is what costs.
        self.least_step = self._carry_step(8, 9)
        self.carry_per_pixel = self._carry_step(1, 4) / (self.sample_pixels * mixture.count)
        pair = (sample.first, sample.first)
        flow = flows(sample.frames, [pair])[pair][None]
        frame = sample.frames[sample.first][None]
        self.flow_per_pixel = seconds_of(lambda: flows(sample.frames, [pair])) / self.sample_pixels
        self.warp_per_pixel = seconds_of(lambda: warp(frame, flow)) / self.sample_pixels
        self.fit_step = self.measure_fit_step()

    def of(self, plan: Plan, count: int) -> float:
        """Return the seconds of ``plan`` for ``count`` mixed frames."""
        pixels = min(self.pixels, float(plan.pixels))
        links = 2 * len(DISTANCES) * 2 * count * pixels
        # Flows are computed side by side, one per thread.
        turns = links * (2 * self.flow_per_pixel / workers() + 2 * SWEEPS * self.warp_per_pixel)
        # A step of the ties warps each tie as a step of the motion fit warps each frame, and looks
        # up which frame that is.
        levels_of_ties = (*plan.ties, (1, SOLVE_COST * len(plan.ties)))
        ties = TIE_COST * MOST_TIES * self._motion(levels_of_ties, pixels * count)
        levels = coarser_levels(plan.levels, round(self.side * (pixels / self.pixels) ** 0.5))
        levels = tuple((scale, steps + OFFERS_COST) for scale, steps in levels)
        return (
            self._motion(levels, pixels * count)
            + (turns * plan.turns + ties) * plan.rounds
            + plan.fit_steps * self.fit_step
        )

    def _motion(self, levels: Levels, pixels: float) -> float:
        """Return the seconds of a motion fit on so many pixels in all frames."""
        return sum(
            steps * max(self.least_step, self.carry_per_pixel * pixels / scale**2)
            for scale, steps in levels
        )

    def _carry_step(self, scale: int, steps: int) -> float:
        """Return the seconds of a step at ``1 / scale`` of the sides, from ``steps`` of them."""

        def work(count: int) -> object:
            return carry(self.sample, [(scale, count)], device=self.settings.device)

        work(1)  # The first call also starts threads and allocates.
        # The difference of two calls drops their fixed cost, such as the flow of the clean frames.
        return seconds_a_step(work, 1, 1 + steps)

    def measure_fit_step(self) -> float:
        """Return the seconds of a step of the networks."""
        small = shrink(self.sample, NETWORK_PIXELS)
        options = NetworkOptions(widths=NARROW_WIDTHS, learn_weight=False)
        work = partial(fit_layers, small, device=self.settings.device, options=options)
        work(plan=FitPlan(1))  # The first call also probes the precision and allocates.
        return seconds_a_step(lambda steps: work(plan=FitPlan(steps)), 1, 21)

    def measure_alone_step(self, plan: Plan) -> float:
        """Return the seconds of a step of the networks of a plan that has nothing else."""
        device = self.settings.device
        sample = shrink(self.sample, plan.pixels)
        pixels = sample.size[0] * sample.size[1]

        def published(steps: int) -> object:
            return fit_transition(sample, steps=steps, device=device)

        def coupled(steps: int) -> object:
            return fit_layers(sample, plan=FitPlan(steps), device=device)

        work = published if plan.paper_steps else coupled
        trial = PAPER_TRIAL_STEPS if plan.paper_steps else COUPLED_TRIAL_STEPS
        work(1)  # The first call also starts threads and allocates.
        step = max(seconds_a_step(work, 1, 1 + trial), LEAST_STEP)
        return step * min(self.pixels, float(plan.pixels)) / pixels
