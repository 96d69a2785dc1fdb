"""Wipes of moving scenes: the matte is found, and no layer is worse than held clean frames."""

from __future__ import annotations

import pytest
import torch
from clips import drifting, psnr

from stages.mixing.mixture import Mixture
from stages.transition.by_matte import separate_by_matte

CLEAN, STEPS, SIZE = 4, 8, (36, 64)
COUNT = STEPS + 2 * CLEAN


@pytest.mark.parametrize(
    ("seed", "soft"), [(1, 1e-6), pytest.param(2, 0.02, marks=pytest.mark.slow)]
)
def test_a_wipe_is_separated_better_than_held_frames(seed: int, soft: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scenes = [drifting(10 * seed + side, COUNT, (0, 0), SIZE) for side in range(2)]
    for scene in scenes:  # A thing moves through each of them.
        color = torch.rand(3, 1, 1, generator=generator)
        top, left = torch.randint(0, 20, (2,), generator=generator).tolist()
        for number in range(COUNT):
            scene[number, :, top : top + 12, left + 2 * number : left + 2 * number + 12] = color
    slant = float(torch.rand(1, generator=generator))
    y, x = torch.meshgrid(
        torch.linspace(0, 1, SIZE[0]), torch.linspace(0, 1, SIZE[1]), indexing="ij"
    )
    order = (x + slant * y) / (1 + slant)
    progress = ((torch.arange(STEPS) + 1) / (STEPS + 1)).view(-1, 1, 1, 1)
    matte = ((progress * (1 + soft) - order) / soft).clamp(0, 1)
    means = matte.mean((1, 2, 3)).view(-1, 1, 1, 1)
    weight = torch.cat([torch.zeros(CLEAN, 1, 1, 1), means, torch.ones(CLEAN, 1, 1, 1)])
    whole = torch.cat([torch.zeros(CLEAN, 1, *SIZE), matte, torch.ones(CLEAN, 1, *SIZE)])
    frames = (torch.lerp(scenes[0], scenes[1], whole) * 255).round() / 255
    mixture = Mixture(frames, weight, CLEAN, CLEAN + STEPS - 1)
    done: list[float] = []
    result = separate_by_matte(mixture, "wipe", None, done.append)
    assert result is not None
    assert done == sorted(done) and done[-1] == 1
    assert float((result.mixture.weight[mixture.mixed] - matte).abs().mean()) < 0.02
    templates = frames[CLEAN - 1], frames[CLEAN + STEPS]
    for layer, scene, template in zip(result.layers, scenes, templates, strict=True):
        true = scene[mixture.mixed]
        assert psnr(layer, true) > psnr(template.expand_as(true), true) + 2
