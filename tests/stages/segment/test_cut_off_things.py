"""What the picture's edge cuts off is found like what lies inside."""

from __future__ import annotations

import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.segment.foreground_odds import foreground_odds
from stages.segment.log_odds import otsu
from stages.segment.motion import find_motion
from stages.segment.odds_by_speed import LEVELING, odds_by_speed
from stages.segment.survey import SegmentSurvey
from stages.segment.votes import vote

SIZE = (72, 96)
FRAMES = 8


def cut_off_clip(seed: int) -> tuple[Tensor, Tensor]:
    """Return a clip under a moving camera and its matte ``(T, h, w)`` of bool.

    A textured box moves along the bottom. The bottom and the left or right side cut it off.
    """
    random = torch.Generator().manual_seed(seed)

    def within(least: float, most: float) -> float:
        return least + (most - least) * float(torch.rand((), generator=random))

    side = -1.0 if within(0, 1) < 0.5 else 1.0
    velocity = (side * within(1.5, 2.5), 0.0)
    tint = torch.tensor([0.4, 0.7, 1.0]).view(1, 3, 1, 1)
    background = drifting(2 * seed, FRAMES, (within(-1, 1), within(-0.5, 0.5)), SIZE) * tint
    foreground = 1 - drifting(2 * seed + 1, FRAMES, velocity, SIZE) * tint
    top, width = round(within(36, 46)), within(36, 44)
    x, y = torch.arange(SIZE[1]), torch.arange(SIZE[0])[:, None]
    from_side = x if side < 0 else SIZE[1] - 1 - x
    matte = torch.stack(
        [(from_side < width - abs(velocity[0]) * t) & (y >= top) for t in range(FRAMES)]
    )
    return torch.where(matte[:, None], foreground, background), matte


@pytest.mark.parametrize("seed", range(4))
def test_what_two_sides_cut_off_is_found(seed: int) -> None:
    frames, matte = cut_off_clip(seed)
    facts, context = SegmentSurvey(None, still=False), SeparationContext(FitSettings())
    found = foreground_odds(frames, find_motion(frames), facts, context, {}) > 0
    overlap = (found & matte).sum((1, 2)) / (found | matte).sum((1, 2)).clamp_min(1)
    assert float(overlap.mean()) > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_only_what_moves_along_three_sides_raises_the_threshold(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    thing = 0.2 * torch.rand(1, 40, 64, generator=random) ** 8
    thing[:, 12:, :40] += 2.0
    raised = thing.clone()
    raised[:, :, -3:] += 2.0
    two_sides, three_sides = odds_by_speed(thing), odds_by_speed(raised)
    assert float(two_sides.threshold) == pytest.approx(otsu(thing**LEVELING) ** (1 / LEVELING))
    assert float(two_sides.outer_motion) < 0.8
    assert float(three_sides.threshold) > 1.1 * float(two_sides.threshold)
    assert float(three_sides.outer_motion) == 1


def test_the_edge_votes_against_what_moves_as_far_as_the_edge_moves() -> None:
    frames, matte = cut_off_clip(0)
    motion = find_motion(frames)
    odds = torch.where(matte, 2.0, -2.0)
    slow = torch.ones(FRAMES)
    still, moving = (
        vote(frames, odds, motion, slow, torch.full((FRAMES,), edge)) for edge in (0.0, 1.0)
    )
    at_edge = matte[:, -1]
    assert float(still[:, -1][at_edge].mean()) > float(moving[:, -1][at_edge].mean())
