"""Plans: that of each preset, and what a budget buys where every cost is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import stages.transition.plan
from stages.context import FitSettings
from stages.mixing.mixture import Mixture
from stages.optim.budget import MEASURED_STAGES
from stages.setting_values import PRESETS
from stages.transition.plan import (
    BUDGET_PLANS,
    LEAST_WORK_PIXELS,
    PLANS,
    Costs,
    Plan,
    bytes_of,
    plan_for,
    plans_for,
    within_memory,
)

BUDGETS = [
    0.0,
    0.01,
    0.1,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    100.0,
    300.0,
    1000.0,
    3000.0,
    10_000.0,
    1e6,
]
LADDER = (PLANS["best"], *BUDGET_PLANS)


def mixture(height: int = 90, width: int = 160, mixed: int = 4) -> Mixture:
    count = mixed + 4
    frames = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Mixture(
        frames,
        ((torch.arange(count) - 1) / (mixed + 1)).clamp(0, 1).view(-1, 1, 1, 1),
        2,
        mixed + 1,
    )


class Fixed(Costs):
    """A machine with known costs, in seconds a pixel."""

    def __init__(self, given: Mixture, settings: FitSettings, *, alone: bool = False) -> None:
        self.settings, self.sample = settings, given
        self.side = min(given.frames.shape[-2:])
        self.pixels = self.sample_pixels = float(given.frames.shape[-2] * given.frames.shape[-1])
        self.carry_per_pixel, self.flow_per_pixel, self.warp_per_pixel = 1e-6, 4e-7, 1e-7
        self.least_step = 1e-5
        self.fit_step = self.measure_fit_step()
        self.alone_step = self.measure_alone_step(PLANS["paper"])

    def measure_fit_step(self) -> float:
        return 1e-5

    def measure_alone_step(self, plan: Plan) -> float:
        return 1e-4 * min(self.pixels, plan.pixels)


@pytest.fixture
def known_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every machine have the same costs, and measuring take no time."""
    monkeypatch.setattr(stages.transition.plan, "Costs", Fixed)
    monkeypatch.setattr("stages.transition.plan.time.monotonic", lambda: 0.0)


def rung(plan: Plan) -> int:
    """Return how far down the ladder a plan is; 0 is the largest."""
    return LADDER.index(plan)


@pytest.mark.parametrize("preset", ["best", "balanced", "fast", "paper", "coupled"])
def test_without_a_budget_a_preset_is_its_plan(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("a preset alone needs no measuring")

    monkeypatch.setattr(stages.transition.plan, "Costs", measured)
    assert plan_for(mixture(), FitSettings(preset)) is PLANS[preset]


def test_the_presets_are_the_command_lines() -> None:
    assert set(PRESETS) == set(PLANS)


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="no preset 'lazy'; there are best, balanced, fast, paper, coupled"
    ):
        plan_for(mixture(), FitSettings("lazy"))


def test_every_plan_that_is_not_the_published_one_moves_and_sweeps() -> None:
    for plan in (*PLANS.values(), *BUDGET_PLANS):
        assert plan.pixels > 0 and plan.rounds >= 1
        assert plan.networks_alone != bool(plan.levels and plan.turns)
        scales = [scale for scale, _ in plan.levels]
        assert scales == sorted(scales, reverse=True), "coarse first"


def test_costs_by_hand() -> None:
    """A 10 x 20 picture and 4 mixed frames.

    A pixel of the motion fit costs 1e-6 s, one of flow 4e-7, one of a warp 1e-7.
    """
    costs, nothing = Fixed(mixture(10, 20), FitSettings()), Plan(pixels=10_000, levels=(), turns=0)
    # The offers of a level cost as much as 35 steps.
    motion = 1e-6 * 4 * ((6 + 35) * 200 / 4 + (5 + 35) * 200)
    assert costs.of(replace(nothing, levels=((2, 6), (1, 5))), 4) == pytest.approx(motion)
    # Both scenes' frames have links at 1, 3 and 8 frames to both sides: flow there and back, one
    # pair a thread, then four sweeps with a warp and as much again.
    turn = 2 * 4 * 6 * 200 * (2 * 4e-7 / torch.get_num_threads() + 2 * 4 * 1e-7)
    assert costs.of(replace(nothing, turns=3), 4) == pytest.approx(3 * turn)
    # Six ties a frame, each 1.4 times the cost; solving counts as four steps at full size.
    ties = 1.4 * 6 * 1e-6 * 4 * (7 / 4 + 4) * 200
    assert costs.of(replace(nothing, ties=((2, 7),)), 4) == pytest.approx(ties)
    twice = motion + 2 * (3 * turn + ties)
    assert costs.of(
        replace(nothing, levels=((2, 6), (1, 5)), turns=3, ties=((2, 7),), rounds=2), 4
    ) == pytest.approx(twice)
    # A picture that is shrunk costs what the smaller one does.
    assert costs.of(Plan(pixels=50, levels=((1, 5),), turns=0), 4) == pytest.approx(
        1e-6 * 4 * (5 + 35) * 50
    )


def test_plans_get_cheaper_down_the_ladder() -> None:
    costs = Fixed(mixture(1080, 8), FitSettings())
    prices = [costs.of(plan, 4) for plan in LADDER]
    assert prices == sorted(prices, reverse=True)


@pytest.mark.usefixtures("known_costs")
@pytest.mark.parametrize("size", [(90, 160), (24, 32), (600, 1000)])
def test_the_cost_of_a_plan_fits_its_budget(size: tuple[int, int]) -> None:
    given = mixture(*size)
    costs = Fixed(given, FitSettings())
    for budget in BUDGETS:
        plan = plan_for(given, FitSettings(max_seconds=budget))
        price = costs.of(plan, 4)
        assert price <= MEASURED_STAGES * budget or (
            rung(plan) == len(LADDER) - 1 and plan.fit_steps == 0
        ), budget


@pytest.mark.usefixtures("known_costs")
@pytest.mark.parametrize("size", [(90, 160), (24, 32), (600, 1000)])
def test_a_larger_budget_never_buys_a_smaller_plan(size: tuple[int, int]) -> None:
    given = mixture(*size)
    rungs = [rung(plan_for(given, FitSettings(max_seconds=budget))) for budget in BUDGETS]
    assert rungs == sorted(rungs, reverse=True)
    assert rungs[0] == len(LADDER) - 1 and rungs[-1] == 0


@pytest.mark.usefixtures("known_costs")
def test_a_larger_picture_never_buys_a_larger_plan() -> None:
    rungs = [
        rung(plan_for(mixture(*size), FitSettings(max_seconds=2.0)))
        for size in ((24, 32), (90, 160), (270, 480), (600, 1000))
    ]
    assert rungs == sorted(rungs) and rungs[0] < rungs[-1]


@pytest.mark.usefixtures("known_costs")
def test_a_budget_is_divided_among_transitions_by_their_frames() -> None:
    given = mixture()
    for budget in BUDGETS:
        plans = plans_for(given, [4, 4, 12], FitSettings(max_seconds=budget))
        assert plans[0] == plans[1] == plan_for(given, FitSettings(max_seconds=budget / 5))
        assert (
            Fixed(given, FitSettings()).of(plans[2], 12) <= MEASURED_STAGES * budget * 0.6
            or plans[2] == BUDGET_PLANS[-1]
        )


@pytest.mark.usefixtures("known_costs")
def test_a_budget_for_the_published_method_buys_steps() -> None:
    given = mixture(10, 20)
    plan = plan_for(given, FitSettings("paper", max_seconds=100))
    assert plan == replace(PLANS["paper"], paper_steps=4000)  # 0.8 * 100 s, at 0.02 s a step
    assert plan_for(given, FitSettings("paper", max_seconds=0.001)).paper_steps == 1


def test_the_time_of_measuring_is_deducted(monkeypatch: pytest.MonkeyPatch) -> None:
    given, clock = mixture(), [0.0]

    class Slow(Fixed):
        def __init__(self, given: Mixture, settings: FitSettings, *, alone: bool = False) -> None:
            super().__init__(given, settings)
            clock[0] += 1e9

    monkeypatch.setattr(stages.transition.plan, "Costs", Slow)
    monkeypatch.setattr("stages.transition.plan.time.monotonic", lambda: clock[0])
    assert plan_for(given, FitSettings(max_seconds=1e6)) == BUDGET_PLANS[-1]


def test_this_machine_is_measured() -> None:
    given = mixture(20, 30)
    costs = Costs(given, FitSettings())
    assert costs.pixels == costs.sample_pixels == 600
    assert all(
        0 < price < 1
        for price in (
            costs.carry_per_pixel,
            costs.flow_per_pixel,
            costs.warp_per_pixel,
            costs.fit_step,
        )
    )
    plan = plan_for(given, FitSettings(max_seconds=0.01))
    assert plan == BUDGET_PLANS[-1]


@pytest.mark.parametrize("mixed", [1, 8, 24, 160])
@pytest.mark.parametrize("full", [176 * 144, 1920 * 1080, 3840 * 2160])
def test_a_plan_is_made_to_fit_the_memory(mixed: int, full: int) -> None:
    for memory in (3 << 30, 6 << 30, 60 << 30):
        plan = within_memory(PLANS["balanced"], memory, mixed, 24, full)
        assert LEAST_WORK_PIXELS <= plan.pixels <= PLANS["balanced"].pixels
        assert replace(plan, pixels=0) == replace(PLANS["balanced"], pixels=0)
        if bytes_of(LEAST_WORK_PIXELS, mixed, 24, full) <= memory:
            assert bytes_of(plan.pixels, mixed, 24, full) <= memory
        # It is no smaller than it has to be.
        enough = plan.pixels in (LEAST_WORK_PIXELS, PLANS["balanced"].pixels) or plan.pixels >= full
        assert enough or bytes_of(round(1.02 * plan.pixels), mixed, 24, full) > memory * 0.99
    assert within_memory(PLANS["fast"], 1, mixed, 24, full).pixels == LEAST_WORK_PIXELS
