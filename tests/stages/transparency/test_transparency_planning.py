"""Plans of the fit by the clock."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.transparency.planning import plan_within
from stages.transparency.plans import SMALLER, ClipPlan


def test_a_delayed_trial_gives_no_larger_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    now, held_up = [0.0], [0.0]

    def work(frames: Tensor, plan: ClipPlan, progress: object) -> None:
        now[0] += 0.001 + plan.turns + held_up[0]
        held_up[0] = 0.0

    monkeypatch.setattr("stages.transparency.planning.separate_clip", work)
    monkeypatch.setattr("stages.optim.timing.time.monotonic", lambda: now[0])
    clip = torch.zeros(240, 3, 54, 96)
    usual = plan_within(clip, 100.0)
    held_up[0] = 2.0
    assert plan_within(clip, 100.0) == usual == SMALLER[1]
