"""Test that the frames of a trajectory decide together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.segment.motion import WindowMotion
from stages.segment.trajectory_labels import CHANGE, NEW_EVIDENCE, joined_along

COUNT, SIZE = 12, (6, 16)


def sideways(trust: float, step: float = 1.0, count: int = COUNT) -> WindowMotion:
    """Return the motion of ``count`` frames in which everything moves right by ``step`` a frame."""
    flow = torch.zeros(count - 1, 2, *SIZE)
    flow[:, 0] = step
    sure = torch.full((count - 1, 1, *SIZE), trust)
    still = torch.zeros_like(flow)
    return WindowMotion(flow, -flow, still, still, sure, sure, torch.zeros(count, 2, *SIZE))


def moving_column(values: Tensor) -> Tensor:
    """Return log-odds ``(T, h, w)`` of a column that moves right by one pixel a frame.

    values: the column's log-odds, ``(T,)``. Everything else has -2.
    """
    odds = torch.full((COUNT, *SIZE), -2.0)
    for t, value in enumerate(values.tolist()):
        odds[t, :, 2 + t] = value
    return odds


def test_a_body_that_moves_before_it_rests_is_foreground_in_all_frames() -> None:
    values = torch.where(torch.arange(COUNT) < 8, 3.0, -1.0)
    found = joined_along(moving_column(values), sideways(1.0))
    for t in range(COUNT):
        assert bool((found[t, :, 2 + t] > 0).all())
        others = torch.ones(SIZE[1], dtype=torch.bool)
        others[2 + t] = False
        assert bool((found[t][:, others] < 0).all())


def test_a_single_odd_frame_is_outvoted_in_both_ways() -> None:
    for sign in (1.0, -1.0):
        values = torch.full((COUNT,), 2.0 * sign)
        values[5] = -2.0 * sign
        found = joined_along(moving_column(values), sideways(1.0))
        assert bool((found[5, :, 7] * sign > 0).all())


def test_frames_decide_alone_where_the_flow_is_not_trusted() -> None:
    odds = torch.linspace(-3, 3, COUNT)[:, None, None].expand(-1, *SIZE)
    found = joined_along(odds, sideways(0.0))
    assert torch.allclose(found, NEW_EVIDENCE * odds, atol=1e-5)


@pytest.mark.parametrize("ways", [(1, 3), (4, 2)])
def test_labels_of_a_short_chain_are_those_of_all_paths_together(ways: tuple[int, int]) -> None:
    # The slow, obvious way: add the probabilities of all 2^3 sequences of labels.
    own = torch.tensor([float(ways[0]), -1.5, float(-ways[1])])
    chance = torch.zeros(2, 3)
    for path in range(8):
        labels = [path >> t & 1 for t in range(3)]
        weight = 1.0
        for t, label in enumerate(labels):
            weight *= float(torch.sigmoid(own[t] * (1 if label else -1)))
            weight *= 1.0 if not t else CHANGE if label != labels[t - 1] else 1 - CHANGE
        for t, label in enumerate(labels):
            chance[label, t] += weight
    expected = (chance[1] / chance[0]).log()
    odds = (own / NEW_EVIDENCE)[:, None, None].expand(3, *SIZE)
    found = joined_along(odds, sideways(1.0, 0.0, 3))
    assert torch.allclose(found[:, 0, 0], expected, atol=1e-4)
