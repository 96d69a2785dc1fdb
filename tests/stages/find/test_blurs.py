"""A blur between scenes that move is found with its ends, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import drifting
from torch import Tensor
from torch.nn import functional

from stages.find.blurs import find_blur
from stages.find.composed import place
from stages.find.stretch import Stretch
from stages.kinds import FILTERS, TRANSITION_KINDS
from stages.mixing.blend import blend
from stages.mixing.filtering import filtered_mix

BEFORE, AFTER, COUNT, SIZE = 8, 22, 30, (45, 80)


def stretch_of(seed: int, change: str) -> Stretch:
    """Return a change between two drawn scenes that pan by 10 pixels at most on the way."""
    generator = np.random.default_rng(seed)
    pans = generator.uniform(-0.7, 0.7, (2, 2)).tolist()
    scenes = [
        drifting(2 * seed + number, COUNT, (pan[0], pan[1]), SIZE)
        for number, pan in enumerate(pans)
    ]
    frames = []
    for number, (one, other) in enumerate(zip(*scenes, strict=True)):
        part = min(1.0, max(0.0, (number - BEFORE) / (AFTER - BEFORE)))
        frames.append(changed(one, other, part, change))
    stack = torch.stack(frames).permute(0, 2, 3, 1).contiguous().numpy()
    return Stretch(stack, 0, COUNT - 1)


def changed(one: Tensor, other: Tensor, part: float, change: str) -> Tensor:
    """Return a frame between two scenes ``(3, H, W)``. change: a filter, or another transition."""
    if change in FILTERS:
        return filtered_mix(FILTERS[change], (one, other), part)
    if change == "dissolve":
        return blend(one, other, part)
    if change == "push":
        placer = TRANSITION_KINDS["push"].effects["slideleft"]
        return place((one, other), placer(part, SIZE[0] / SIZE[1]))
    if change == "smooth":
        soft = [functional.avg_pool2d(each, 25, 1, 12) for each in (one, other)]
        return blend(soft[0], soft[1], part)
    if change == "plain":
        plain = [each.mean((1, 2), keepdim=True).expand_as(each) for each in (one, other)]
        return blend(plain[0], plain[1], part)
    return torch.where(torch.arange(SIZE[1]) < part * SIZE[1], other, one)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("off", [(0, 0), (-2, 1), (1, 3)])
def test_a_blur_of_panned_scenes_has_its_own_ends(seed: int, off: tuple[int, int]) -> None:
    found = find_blur(stretch_of(seed, "hblur"), BEFORE + off[0], AFTER + off[1])
    assert found is not None
    assert (found.before, found.after, found.kind, found.effect) == (BEFORE, AFTER, "blur", "hblur")


@pytest.mark.parametrize("change", ["dissolve", "push", "wipe", "smooth", "plain"])
@pytest.mark.parametrize("seed", range(4))
def test_what_keeps_its_detail_is_no_blur(seed: int, change: str) -> None:
    assert find_blur(stretch_of(seed, change), BEFORE, AFTER) is None
