"""Weighing a single picture's mark piece by piece."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stages.watermark.find import NAT, Mark, texture
from stages.watermark.pieces import Outlines, held_out, outlines, weighed

OPACITY, WHITE = 0.4, torch.ones(3)


def scene() -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W), dark on the left, light grey on the right, under a white bar; and where the bar is."""
    noise = torch.Generator().manual_seed(1)
    clean = torch.full((3, 60, 80), 0.25)
    clean[..., 40:] = 0.75
    clean = (clean + 0.01 * torch.randn(clean.shape, generator=noise)).clamp(0, 1)
    bar = torch.zeros(60, 80, dtype=torch.bool)
    bar[20:32, 8:72] = True
    return torch.where(bar, (1 - OPACITY) * clean + OPACITY, clean)[None], bar


def costs(pictures: Tensor, bound: float) -> Outlines:
    spreads = texture(pictures)
    assert spreads is not None
    return outlines(pictures, OPACITY, WHITE, spreads, bound, 1.0)


def marked(chosen: Tensor) -> Mark:
    matte = OPACITY * chosen.float()[None]
    return Mark(matte, matte * WHITE.view(3, 1, 1), OPACITY, 1.0)


@pytest.mark.parametrize("bound", [math.inf, 5.0])
def test_a_cut_never_costs_less_than_the_outlines_and_as_much_where_it_can(bound: float) -> None:
    pictures, bar = scene()
    exact = costs(pictures, bound)
    cut = exact.cut(torch.zeros(60, 80))
    rough = torch.rand(60, 80, generator=torch.Generator().manual_seed(2)) < 0.5
    assert cut.cost(rough) > NAT * exact.cost(rough)
    assert NAT * exact.cost(bar) < cut.cost(bar) < 0.6 * NAT * exact.cost(bar) < 0
    assert exact.cost(torch.zeros_like(bar)) == 0


def test_colours_around_tell_whether_a_piece_is_marked() -> None:
    pictures, bar = scene()
    undone = (pictures[0] - OPACITY) / (1 - OPACITY)
    inside, beside = torch.zeros_like(bar), torch.zeros_like(bar)
    inside[20:32, 20:30], beside[32:38, 42:60] = True, True
    assert held_out(pictures[0], undone, bar, inside, OPACITY) < -2
    assert held_out(pictures[0], undone, bar | beside, beside, OPACITY) > 1
    # What is as wide as its surroundings is not borne out by itself: nothing else is so dark.
    alone = torch.ones_like(bar)
    assert abs(held_out(pictures[0], undone, alone, alone, OPACITY) - math.log(1 - OPACITY)) < 1e-5


def test_scene_beside_the_mark_goes_and_the_mark_stays() -> None:
    pictures, bar = scene()
    false = bar.clone()
    false[32:37, 40:60] = True  # along the edge between dark and light
    result = weighed(pictures, marked(false), torch.ones(60, 80), 80)
    assert torch.equal(result.matte[0] > 0, bar)
    assert float(result.matte.max()) == pytest.approx(OPACITY)
    kept = weighed(pictures, marked(bar), torch.ones(60, 80), 80)
    assert torch.equal(kept.matte[0] > 0, bar)
    nothing = weighed(pictures, marked(torch.zeros_like(bar)), torch.ones(60, 80), 80)
    assert not bool(nothing.matte.any())
