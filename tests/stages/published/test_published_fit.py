"""The loop of the published fits: rates, the best snapshot, early ends, and steps by the clock."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import Tensor, nn

from stages.context import FitSettings, SeparationContext
from stages.optim.fit import FitRun
from stages.optim.losses import constant
from stages.optim.timing import steps_within
from stages.published.fit import (
    BestSnapshot,
    DrawnStep,
    DrawStep,
    PublishedStage,
    fit_stage,
    planned_steps,
    published_plan,
    shortened_notes,
    split_steps,
    step_of,
    steps_a_pass,
)

ONE = {"reconstruction": constant(1.0)}


class Gray(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))


def draw_for(module: Gray, target: float) -> DrawStep:
    def draw(index: Tensor, progress: float) -> DrawnStep:
        del progress
        mixture = module.value.expand(len(index))
        wanted = torch.full_like(mixture, target)
        return DrawnStep(mixture, wanted, {"reconstruction": (mixture - wanted).square().mean()})

    return draw


def test_the_published_rate_never_changes() -> None:
    plan = published_plan(7)
    assert plan.rate == plan.code_rate == 1e-3 and plan.betas == (0.9, 0.999)
    assert {plan.schedule(progress) for progress in (0.0, 0.3, 1.0)} == {1.0}


def test_the_best_snapshot_is_kept_and_not_the_last() -> None:
    module, best = Gray(), BestSnapshot()
    # With a rate this large the value runs past its target and comes back.
    stage = PublishedStage(40, draw_for(module, 0.5), ONE, rate=0.11)
    taken = fit_stage(module, stage, FitRun(40), 1, best)
    assert taken == 40 and best.psnr > 25
    last = abs(module.value.item() - 0.5)
    best.apply(module)
    assert abs(module.value.item() - 0.5) < last or last < 1e-3
    assert best.psnr == pytest.approx(-20 * math.log10(abs(module.value.item() - 0.5)))


def test_a_worse_snapshot_changes_nothing() -> None:
    module, best = Gray(), BestSnapshot()
    for value, error in ((1.0, 0.1), (2.0, 0.01), (3.0, 0.05)):
        with torch.no_grad():
            module.value.fill_(value)
        best.offer(module, error)
    assert best.psnr == pytest.approx(20.0)
    best.apply(module)
    assert module.value.item() == 2.0


def test_a_clips_snapshot_counts_all_its_frames() -> None:
    assert (steps_a_pass(1), steps_a_pass(8), steps_a_pass(9), steps_a_pass(9, 4)) == (1, 1, 2, 3)
    module, best = Gray(), BestSnapshot(2)
    best.offer(module, 1e-9)
    assert not best.parameters, "an easy batch alone does not count"
    best.offer(module, 0.2)
    assert best.psnr == pytest.approx(10.0, abs=0.01)
    again = BestSnapshot(2)
    again.resume(best.kept())
    assert again.psnr == best.psnr
    # The pass that was interrupted goes on: its mean is that of 0.2 and 0.1, which is no better.
    again.offer(module, 0.1)
    assert again.psnr == best.psnr
    again.offer(module, 0.02)
    assert again.psnr == pytest.approx(-10 * math.log10(0.06))


def test_a_stage_ends_when_the_reconstruction_is_good_enough() -> None:
    module, best = Gray(), BestSnapshot()
    stage = PublishedStage(500, draw_for(module, 0.5), ONE, rate=0.02, ends_at=20.0)
    seen: list[float] = []
    run = FitRun(500, on_step=lambda progress, losses: seen.append(progress))
    taken = fit_stage(module, stage, run, 1, best)
    assert taken < 500 and taken % 25 == 0 and best.psnr >= 20
    assert seen == pytest.approx([(step + 1) / 500 for step in range(taken)])


def test_fewer_steps_go_through_the_same_phases() -> None:
    assert split_steps(11_000, (4000, 7000)) == (4000, 7000)
    assert split_steps(110, (4000, 7000)) == (40, 70) and split_steps(1, (1, 9)) == (1, 1)
    assert [step_of(step / 60, 6000) for step in (0, 1, 30)] == [0, 100, 3000]


def test_a_budget_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(steps: int) -> None:
        now[0] += 0.02 + 0.01 * steps

    monkeypatch.setattr("stages.optim.timing.time.monotonic", lambda: now[0])
    # 3 s at 0.01 s a step; the measuring takes some of them.
    assert 150 <= steps_within(work, 3.0, 10_000) <= 300
    assert steps_within(work, 3.0, 7) == 7 and steps_within(work, 0.0, 7) == 1


def test_a_fit_is_planned_whole_without_a_budget() -> None:
    def refused(steps: int) -> None:
        raise AssertionError("nothing is measured")

    assert planned_steps(refused, 4000, SeparationContext(FitSettings("paper"))) == 4000
    short = SeparationContext(FitSettings("paper", max_seconds=0.2))
    assert planned_steps(lambda steps: time.sleep(0.01 * steps), 4000, short) < 20


def test_a_shorter_fit_says_so() -> None:
    assert shortened_notes(4000, 4000, 3) == ()
    (note,) = shortened_notes(399, 4000, 3)
    assert note.places == (0, 1, 2) and "shortened by {max_seconds}" in note.text
