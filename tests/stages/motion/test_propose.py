"""Proposed motion, on scenes whose motion is known and on drawn flows."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.motion import carry as motion
from stages.motion.carry import CarriedLayers, carried_layers, carry, known_motion
from stages.motion.flow import box
from stages.motion.propose import RADIUS, continued, propose
from stages.optim.penalties import CHARBONNIER_SCALE

SIZE = (72, 114)
PRE, STEPS, POST = 5, 14, 5
COUNT = PRE + STEPS + POST
INSIDE = slice(PRE, PRE + STEPS)
RADIUS_OF_DISC = 16
LEVELS = ((4, 60), (2, 40), (1, 20))


def texture(seed: int, velocity: tuple[float, float]) -> Tensor:
    """Make a coarse coloured texture that moves, ``(COUNT, 3, H, W)``."""
    fine = drifting(seed, COUNT, (velocity[0] / 3, velocity[1] / 3), (SIZE[0] // 3, SIZE[1] // 3))
    return torch.nn.functional.interpolate(fine, SIZE, mode="bilinear")


def disc_at(t: int, start: tuple[float, float], velocity: tuple[float, float]) -> Tensor:
    """Return how much a moving disc covers of each pixel ``(H, W)`` at frame ``t``, 0 to 1."""
    y, x = torch.meshgrid(*(torch.arange(side).float() for side in SIZE), indexing="ij")
    middle = start[0] + velocity[0] * t, start[1] + velocity[1] * t
    return (RADIUS_OF_DISC - torch.hypot(x - middle[0], y - middle[1])).clamp(0, 1)


def disc_scene(seed: int, start: tuple[float, float], velocity: tuple[float, float]) -> Tensor:
    """Make a panning texture that a disc of another texture crosses, ``(COUNT, 3, H, W)``."""
    ground = texture(seed, (0.5, 0.0))
    inside = texture(seed + 100, velocity)
    cover = torch.stack([disc_at(t, start, velocity) for t in range(COUNT)])[:, None]
    return cover * inside + (1 - cover) * ground


def dissolve(a: Tensor, b: Tensor) -> Mixture:
    """Mix two scenes linearly, rounded to 8 bits."""
    weight = ((torch.arange(COUNT) - PRE + 1) / (STEPS + 1)).clamp(0, 1).view(-1, 1, 1, 1)
    frames = ((1 - weight) * a + weight * b).mul(255).round() / 255
    return Mixture(frames, weight, PRE, PRE + STEPS - 1)


def without_proposals(mixture: Mixture) -> CarriedLayers:
    with mock.patch.object(motion, "propose", lambda mixture, both, known, scale: both):
        return carry(mixture, LEVELS)


@pytest.mark.usually(1)
@pytest.mark.parametrize("seed", range(2))
def test_a_disc_stays_whole_while_its_scene_becomes_faint(seed: int) -> None:
    start, velocity = (22.0, 46.0), (1.6, -0.8)
    a = disc_scene(seed, start, velocity)
    b = texture(seed + 50, (-0.6, 0.3))
    mixture = dissolve(a, b)
    faint = range(STEPS - 5, STEPS)
    on_disc = torch.stack([disc_at(PRE + t, start, velocity) > 0 for t in faint])[:, None]

    def error(carried: CarriedLayers) -> float:
        apart = carried.layers[0][faint.start :] - a[INSIDE][faint.start :]
        return float((apart.square() * on_disc).mean())

    assert error(carry(mixture, LEVELS)) < 0.75 * error(without_proposals(mixture))


def coarse_proposals(mixture: Mixture, both: Pair, known: Pair, scale: int) -> Pair:
    """Propose motion at coarse levels alone."""
    return both if scale == 1 else propose(mixture, both, known, scale)


@pytest.mark.usually(2)
@pytest.mark.parametrize("seed", range(3))
def test_offers_at_full_size_bring_layers_nearer_to_the_truth(seed: int) -> None:
    """The fit has a vector for four pixels, the offers one for each pixel."""
    a = disc_scene(seed, (22.0, 46.0), (1.6, -0.8))
    mixture = dissolve(a, texture(seed + 50, (-0.6, 0.3)))
    full = carry(mixture, LEVELS)
    with mock.patch.object(motion, "propose", coarse_proposals):
        coarse = carry(mixture, LEVELS)
    ours, before = (float((each.layers[0] - a[INSIDE]).square().mean()) for each in (full, coarse))
    assert ours < 0.95 * before


def errors(mixture: Mixture, flows: tuple[Tensor, Tensor]) -> Tensor:
    """Return the error around each pixel of the mixed frames, as an offer is judged."""
    mixed = mixture.dissolve(mixture.weight[mixture.mixed]).mix(*carried_layers(mixture, flows))
    values = ((mixed - mixture.frames[mixture.mixed]).square() + CHARBONNIER_SCALE**2).sqrt()
    return box(values.mean(1, keepdim=True), RADIUS)


@pytest.mark.parametrize("seed", range(4))
def test_no_scene_of_a_drawn_motion_explains_less_in_the_mean(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    mixture = dissolve(disc_scene(seed, (30, 20), (1, 1)), drifting(seed + 9, COUNT, (1, 0), SIZE))
    coarse = [torch.randn(STEPS, 2, 6, 8, generator=draw) * 3 for _ in range(2)]
    flows = tuple(torch.nn.functional.interpolate(flow, SIZE, mode="bilinear") for flow in coarse)
    known = known_motion(mixture, "outgoing"), known_motion(mixture, "incoming")
    better = propose(mixture, (flows[0], flows[1]), known, 1)
    before, after = errors(mixture, (flows[0], flows[1])), errors(mixture, better)
    assert float(after.mean()) < 0.9 * float(before.mean())


def test_still_scenes_keep_their_flows_as_they_are() -> None:
    a, b = drifting(1, COUNT, (0, 0), SIZE), drifting(2, COUNT, (0, 0), SIZE)
    mixture = dissolve(a, b)
    still = torch.zeros(STEPS, 2, *SIZE)
    nothing = torch.zeros(3, 2, *SIZE)
    found = propose(mixture, (still, still), (nothing, nothing), 2)
    assert all(torch.equal(flow, still) for flow in found)


def test_a_known_color_has_no_motion_to_propose() -> None:
    a = disc_scene(1, (16, 34), (2, -1))
    color = torch.tensor([0.1, 0.2, 0.3])
    open_one = dissolve(a, color.view(1, 3, 1, 1).expand(COUNT, 3, *SIZE))
    mixture = Mixture(
        open_one.frames, open_one.weight, open_one.first, open_one.last, "gamma", "incoming", color
    )
    still = torch.zeros(STEPS, 2, *SIZE)
    known = known_motion(mixture, "outgoing"), torch.zeros(0, 2, *SIZE)
    outgoing, incoming = propose(mixture, (still, still), known, 2)
    assert torch.equal(incoming, still) and not torch.equal(outgoing, still)


@pytest.mark.parametrize("lag", [1, 4])
def test_a_steady_motion_goes_on(lag: int) -> None:
    velocity = torch.tensor([1.5, -0.5]).view(1, 2, 1, 1).expand(1, 2, *SIZE)
    latest, earlier = -6 * velocity, -(6 - lag) * velocity
    torch.testing.assert_close(continued(latest, earlier, lag), -7 * velocity)


def test_the_front_of_a_disc_goes_on_with_it() -> None:
    """Places that the disc reaches next are offered its motion, though the ground was there."""
    start, velocity = (30.0, 24.0), (2.0, 0.0)

    def flow_at(step: int) -> Tensor:
        on = disc_at(step, start, velocity) > 0.5
        across = torch.where(on, -2.0 * step, -0.5 * step)
        return torch.stack([across, torch.zeros(SIZE)])[None]

    offered = continued(flow_at(4), flow_at(3), 1)[0, 0]
    inside = disc_at(5, start, velocity) > 0.5
    right = (offered[inside] + 10).abs() < 1
    assert float(right.float().mean()) > 0.7
