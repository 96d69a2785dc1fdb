"""Transitions by pixels, and blurs: what the search believes, and what it leaves alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from stages.find.blurs import as_blur
from stages.find.features import Array
from stages.find.pixels import find_pixels
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import FILTERS
from stages.mixing.filtering import filtered_mix
from stages.mixing.forward_model import Pair

HEIGHT, WIDTH = 36, 64
CLEAN, MIXED = 8, 11
MIX = (np.arange(MIXED) + 1) / (MIXED + 1)


def pictures(seed: int) -> Pair:
    """Return two pictures ``(3, H, W)`` with coarse and fine structure."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(2):
        coarse = cv2.resize(rng.random((5, 8, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        fine = 0.7 * coarse + 0.3 * rng.random((HEIGHT, WIDTH, 3))
        found.append(torch.from_numpy(fine.transpose(2, 0, 1)).float().clamp(0, 1))
    return found[0], found[1]


def clip(inner: list[torch.Tensor], sides: Pair) -> Array:
    """Return frames ``(T, H, W, 3)`` with clean ones on both sides of ``inner``."""
    frames = torch.stack([*[sides[0]] * CLEAN, *inner, *[sides[1]] * CLEAN])
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy(), np.float32)


@pytest.mark.parametrize("seed", [1, 2])
def test_pixels_in_any_order_are_found_and_moving_scenes_are_not(seed: int) -> None:
    sides = pictures(seed)
    own = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    by_pixels = [torch.where(own < weight, sides[1], sides[0]) for weight in MIX]
    frames = clip(by_pixels, sides)
    found = find_pixels(Stretch(frames, 0, len(frames) - 1), CLEAN - 1, CLEAN + MIXED)
    assert found is not None and found.kind == "pixels"
    assert np.abs(found.mix - MIX).max() < 0.1
    both = torch.cat(sides, -1)
    pushed = [both[..., round(w * WIDTH) : round(w * WIDTH) + WIDTH] for w in MIX]
    frames = clip(pushed, sides)
    assert find_pixels(Stretch(frames, 0, len(frames) - 1), CLEAN - 1, CLEAN + MIXED) is None


@pytest.mark.parametrize("name", ["hblur", None])
def test_a_blur_is_told_from_a_dissolve(name: str | None) -> None:
    sides = pictures(3)
    apply = FILTERS[name] if name else lambda picture, _: picture
    frames = clip([filtered_mix(apply, sides, float(weight)) for weight in MIX], sides)
    dissolve = TransitionFit(CLEAN - 1, CLEAN + MIXED, MIX)
    found = as_blur(dissolve, frames)
    assert (found.effect if found else None) == name
