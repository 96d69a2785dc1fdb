"""What a matte hides of a scene is kept as it was last seen, and moves as its camera moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import drifting, psnr
from torch import Tensor

from stages.mixing.mixture import Mixture
from stages.motion.flow import warp
from stages.transition.hidden import inverse
from stages.transition.last_seen import (
    Prediction,
    flow_of,
    followed,
    layers_of,
    motions_of_cameras,
    predict,
)

CLEAN, STEPS, SIZE = 4, 8, (24, 40)
COUNT = STEPS + 2 * CLEAN
NEARLY = 0.01
"""Error that the filter may leave of a change of 0.05, because a frame may have errors, too."""


def mixture_of(outgoing: Tensor, incoming: Tensor, matte: Tensor) -> Mixture:
    """Return the window in which two scenes ``(COUNT, 3, H, W)`` mix with ``(STEPS, 1, H, W)``."""
    none = torch.zeros(CLEAN, 1, *matte.shape[-2:])
    weight = torch.cat([none, matte, none + 1])
    return Mixture(torch.lerp(outgoing, incoming, weight), weight, CLEAN, CLEAN + STEPS - 1)


def sudden(order: Tensor) -> Tensor:
    """Return the matte ``(STEPS, 1, H, W)`` whose pixels change at once in an order in [0, 1]."""
    progress = (torch.arange(STEPS) + 1) / (STEPS + 1)
    return (order < progress.view(-1, 1, 1, 1)).float()


def both_predicted(mixture: Mixture) -> tuple[Prediction, Prediction]:
    motions = motions_of_cameras(mixture)
    outgoing, incoming = (
        followed(mixture, "outgoing", motions[0]),
        followed(mixture, "incoming", motions[1]),
    )
    first = predict(mixture, outgoing, incoming.held())
    return first, predict(mixture, incoming, first)


@pytest.mark.parametrize("seed", [1, 2])
def test_pixels_are_exact_where_seen_and_as_last_seen_where_hidden(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Both scenes change in a random part of the picture, halfway through the transition.
    scenes = [torch.rand(1, 3, *SIZE, generator=generator).repeat(COUNT, 1, 1, 1) for _ in "ab"]
    for scene in scenes:
        part = (torch.rand(SIZE, generator=generator) < 0.2).expand(3, -1, -1)
        scene[COUNT // 2 :, part] = scene[0, part] * 0.95
    matte = sudden(torch.rand(SIZE, generator=generator))
    mixture = mixture_of(scenes[0], scenes[1], matte)
    outgoing, incoming = layers_of(mixture, both_predicted(mixture))
    seen = torch.where(matte > 0, incoming, outgoing)
    assert float((seen - mixture.frames[mixture.mixed]).abs().max()) < NEARLY
    last, first = scenes[0][CLEAN - 1].clone(), scenes[1][-CLEAN].clone()
    for number in range(STEPS):
        hidden = matte[number] > 0
        last = torch.where(hidden, last, scenes[0][CLEAN + number])
        assert float((outgoing[number] - last).abs().max()) < NEARLY
    for number in reversed(range(STEPS)):
        hidden = matte[number] == 0
        first = torch.where(hidden, first, scenes[1][CLEAN + number])
        assert float((incoming[number] - first).abs().max()) < NEARLY


def test_hidden_parts_move_with_their_camera() -> None:
    size = (48, 80)
    pan = drifting(3, COUNT, (1.0, 0.0), size)
    still = drifting(4, 1, (0, 0), size).expand(COUNT, -1, -1, -1)
    matte = sudden(torch.linspace(0, 1, size[0])[:, None].expand(size))
    mixture = mixture_of(pan, still, matte)
    predicted = both_predicted(mixture)
    true = pan[mixture.mixed]
    held = pan[CLEAN - 1].expand_as(true)
    assert psnr(layers_of(mixture, predicted)[0], true) > psnr(held, true) + 6
    assert all(not motion.any() for motion in motions_of_cameras(mixture)[1])


def test_a_motion_and_its_inverse_lead_back() -> None:
    generator = np.random.default_rng(5)
    for _ in range(5):
        motion = generator.normal(0, 0.05, 6)
        picture = drifting(1, 1, (0, 0), (40, 60))
        there, back = (flow_of(one, (40, 60)) for one in (motion, inverse(motion)))
        places = torch.stack(
            torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
        ).flip(0)[None]
        again = warp(warp(places, there), back)
        inner = (slice(None), slice(None), slice(12, 28), slice(18, 42))
        assert float((again - places)[inner].abs().max()) < 0.05, motion
        assert warp(picture, there).shape == picture.shape
