"""Test how far a correction reaches from what was drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.segment.hints import growth
from stages.segment.hints.evidence import RegionEvidence

SIZE = (48, 80)


@pytest.mark.parametrize("gap", [4, 40])
def test_strokes_far_apart_do_not_reach_far_together(
    gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Growth by distance alone: everything up to half of a stroke's extent away looks alike.
    def alike(picture: Tensor, known: RegionEvidence, learned_from: Tensor) -> Tensor:
        return known.prior + growth.ODDS_AGAINST_DISTANCE / 2

    monkeypatch.setattr(growth, "cut_out", alike)
    both = torch.zeros(SIZE, dtype=torch.bool)
    both[20:28, 10:12] = both[20:28, 12 + gap : 14 + gap] = True
    one, other = both.clone(), both.clone()
    one[:, 20 if gap > 8 else 12 :], other[:, : 20 if gap > 8 else 12] = False, False
    everywhere, nothing = torch.ones_like(both), torch.zeros(SIZE)
    made, left, right = (
        growth._grown_within(torch.zeros(3, *SIZE), seeds, everywhere, nothing)
        for seeds in (both, one, other)
    )
    apart = left | right
    if gap > 8:
        assert torch.equal(made, apart)
    else:
        most = growth.MOST_JOINT_GROWTH * float(apart.sum())
        assert float(apart.sum()) < float(made.sum()) <= most
