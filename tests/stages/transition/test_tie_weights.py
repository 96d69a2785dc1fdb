"""How ties are weighed, on drawn values and on textures with known velocities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from clips import psnr
from drifting_scenes import INSIDE, LEFT, PRE, RIGHT, SIZE, STEPS, inner, mixed, scenes, straight
from torch.nn import functional

from stages.mixing.mixture import SIDES
from stages.motion.carry import CarriedLayers, carried_layers
from stages.transition.tie import solve
from stages.transition.tie_weights import (
    LEAST_VISIBLE,
    Brought,
    WeighTies,
    brought,
    weigh_by_difference,
    weigh_by_spread,
)
from stages.transition.ties import find_ties

RULES = (weigh_by_difference, weigh_by_spread)


def drawn(seed: int, ties: int = 5, visible: float = 0.5, scatter: float = 0.05) -> Brought:
    """Draw what ties bring: one picture, with errors of their own, and a layer that is wrong."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(3, 12, 16, generator=generator)
    return Brought(
        values=truth + scatter * torch.randn(ties, 3, 12, 16, generator=generator),
        inside=torch.ones(ties, 1, 12, 16, dtype=torch.bool),
        layer=truth + 0.1 * torch.randn(3, 12, 16, generator=generator),
        distance=torch.arange(1.0, ties + 1).view(-1, 1, 1, 1),
        visible=visible,
        clear=torch.ones(ties, 1, 1, 1),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weigh", RULES)
def test_weights_are_finite_and_none_lies_outside(weigh: WeighTies, seed: int) -> None:
    for ties in (1, 2, 6):
        some = drawn(seed, ties, visible=LEAST_VISIBLE, scatter=0.0)
        some.inside[:, :, :4] = False
        weights = weigh(some)
        assert weights.shape == (ties, 1, 12, 16) and weights.isfinite().all()
        assert (weights[:, :, :4] == 0).all() and (weights[:, :, 4:] > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_ties_that_agree_and_scenes_that_show_weigh_more_by_spread(seed: int) -> None:
    agreeing, contradicting = drawn(seed, scatter=0.01), drawn(seed, scatter=0.1)
    assert weigh_by_spread(agreeing).mean() > 5 * weigh_by_spread(contradicting).mean()
    clear, faint = replace(agreeing, visible=0.9), replace(agreeing, visible=0.1)
    torch.testing.assert_close(
        weigh_by_spread(clear), 9 ** (2 / 3) * weigh_by_spread(faint), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_lone_tie_is_weighed_by_its_difference(seed: int) -> None:
    some = drawn(seed)
    some.inside[1:, :, :, :4] = False
    alone = some.inside.sum(0, keepdim=True).expand(5, 1, -1, -1) == 1
    weights = weigh_by_spread(some)
    assert torch.equal(weights[alone], weigh_by_difference(some)[alone])
    assert not torch.equal(weights[~alone], weigh_by_difference(some)[~alone])


def test_what_lies_outside_does_not_count_as_spread() -> None:
    some = drawn(0, scatter=0.0)
    some.values[0] += 0.5
    some.inside[0] = False
    torch.testing.assert_close(some.spread(), torch.zeros_like(some.spread()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_a_ghost_that_stays_goes_where_the_ties_agree(seed: int) -> None:
    """The layers mix to the input, but each holds a part of the other one, in all frames alike.

    The ties of one scene, drawn by the seed, are off as well. By their difference from layers with
    a ghost, those of both scenes are wrong. By their spread only these are.
    """
    a, b = scenes()
    mixture = mixed(a, b)
    flows = straight(RIGHT, PRE - 1), straight(LEFT, PRE + STEPS)
    carried = CarriedLayers(flows, (PRE - 1, PRE + STEPS), carried_layers(mixture, flows))
    generator = torch.Generator().manual_seed(seed)
    ghost = 0.6 * (torch.rand(1, 3, 6, 8, generator=generator) - 0.5)
    ghost = functional.interpolate(ghost, SIZE).expand(STEPS, -1, -1, -1)
    weight = mixture.weight[INSIDE]
    over = mixture.over_window((a[INSIDE] + weight * ghost, b[INSIDE] - (1 - weight) * ghost))
    ties = [find_ties(mixture, carried, side) for side in SIDES]
    off = ties[seed % 2]
    miss = 0.3 * torch.randn(len(off.flows), 2, 1, 1, generator=generator)
    ties[seed % 2] = replace(off, flows=off.flows + miss)

    def quality(weigh: WeighTies) -> float:
        """Return the mean PSNR of both layers, in dB."""
        solved = mixture.of_mixed(solve(mixture, over, (ties[0], ties[1]), weigh))
        return sum(
            psnr(inner(layer), inner(truth[INSIDE]))
            for layer, truth in zip(solved, (a, b), strict=True)
        ) / len(solved)

    assert quality(weigh_by_spread) > quality(weigh_by_difference) + 0.5


def test_a_matte_leaves_every_scene_fully_visible() -> None:
    mixture = mixed(*scenes())
    flows = straight(RIGHT, PRE - 1), straight(LEFT, PRE + STEPS)
    carried = CarriedLayers(flows, (PRE - 1, PRE + STEPS), carried_layers(mixture, flows))
    ties = find_ties(mixture, carried, "outgoing")
    by_pixel = replace(mixture, weight=mixture.weight.expand(-1, 1, *SIZE).clone())
    seen = [brought(m, "outgoing", mixture.frames, ties, 2).visible for m in (mixture, by_pixel)]
    assert seen == [pytest.approx(float(1 - mixture.weight[PRE + 2])), 1.0]
