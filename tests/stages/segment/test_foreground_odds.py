"""Of two possible foregrounds, the one around which the motion jumps is chosen."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from stages.segment.foreground_odds import _clearer
from stages.segment.motion import WindowMotion

FRAMES, HEIGHT, WIDTH = 3, 40, 64


def rectangle(top: int, left: int, height: int, width: int) -> Tensor:
    """Return log-odds ``(T, h, w)`` of a foreground that is a rectangle."""
    odds = torch.full((FRAMES, HEIGHT, WIDTH), -2.0)
    odds[:, top : top + height, left : left + width] = 2.0
    return odds


def motion_of(moving: Tensor) -> WindowMotion:
    """Return the motion in which the foreground of ``moving`` goes 3 pixels to the right."""
    flow = torch.zeros(FRAMES - 1, 2, HEIGHT, WIDTH)
    flow[:, 0] = 3.0 * (moving[:-1] > 0)
    still, trust = torch.zeros_like(flow), torch.ones(FRAMES - 1, 1, HEIGHT, WIDTH)
    residual = torch.cat([flow, flow[-1:]])
    return WindowMotion(flow, -flow, still, still, trust, trust, residual)


@pytest.mark.parametrize("seed", range(4))
def test_the_outline_around_which_motion_jumps_is_chosen(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)

    def within(least: int, most: int) -> int:
        return int(torch.randint(least, most, (), generator=random))

    thing = rectangle(within(4, 10), within(6, 20), within(12, 18), within(12, 18))
    # Both are partly or wholly ground.
    wrong = [rectangle(26, 44, 10, 14), torch.roll(thing, 6, -1)]
    motion = motion_of(thing)
    for other in wrong:
        assert _clearer(other, lambda: thing, motion) is thing
        assert _clearer(thing, partial(torch.clone, other), motion) is thing


def test_a_hardly_larger_jump_changes_nothing() -> None:
    thing = rectangle(10, 20, 16, 16)
    nearly = thing.clone()
    nearly[:, 10:12, 20:22] = -2.0
    assert _clearer(nearly, lambda: thing, motion_of(thing)) is nearly


def test_another_foreground_is_not_computed_where_it_cannot_be_clearer() -> None:
    thing = rectangle(10, 20, 16, 16)

    def never() -> Tensor:
        raise AssertionError("another foreground was computed")

    assert _clearer(thing, never, motion_of(thing)) is thing
