"""Test the soft edge of `segment`'s mattes against known ones."""

from __future__ import annotations

import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.segment.cut import upsampled
from stages.segment.soften import soften

SIZE = (120, 180)
EXPOSURES = 9
"""Positions of the object that are averaged into one blurred frame."""


def blurred_disc(seed: int, blur: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return a frame ``(1, 3, H, W)``, its true matte, and its background.

    blur: pixels that the disc moves while the frame is exposed.
    """
    tint = torch.tensor([0.4, 0.7, 1.0]).view(1, 3, 1, 1)
    background = drifting(seed, 1, (0.0, 0.0), SIZE) * tint
    foreground = 1 - drifting(seed + 50, 1, (0.0, 0.0), SIZE) * tint
    across, down = torch.arange(SIZE[1]).float(), torch.arange(SIZE[0]).float()[:, None]
    parts = torch.linspace(-0.5, 0.5, EXPOSURES).tolist()
    matte = torch.stack(
        [(34.5 - torch.hypot(across - 85 - blur * at, down - 60)).clamp(0, 1) for at in parts]
    ).mean(0)[None, None]
    mixed = matte * foreground + (1 - matte) * background
    return (mixed * 255).round() / 255, matte, background


def error(found: Tensor, true: Tensor) -> float:
    """Return the sum of absolute differences of two mattes, in pixels."""
    return float((found - true).abs().sum())


@pytest.mark.parametrize(("seen", "most"), [(True, 0.85), (False, 0.9)])
def test_motion_blur_becomes_a_soft_edge(seen: bool, most: float) -> None:
    given: list[float] = []
    found: list[float] = []
    for seed in range(3):
        frame, matte, background = blurred_disc(seed, 8)
        hard = (matte > 0.5).float()
        before = upsampled(hard, frame, frame)
        missing = torch.full_like(matte, not seen, dtype=torch.bool)
        given.append(error(before, matte))
        found.append(error(soften(before, frame, background, missing), matte))
    assert sum(found) < most * sum(given)


def test_a_sharp_edge_stays_sharp() -> None:
    frame, matte, background = blurred_disc(1, 0)
    missing = torch.zeros_like(matte, dtype=torch.bool)
    before = upsampled((matte > 0.5).float(), frame, frame)
    found = soften(before, frame, background, missing)
    assert error(found, matte) < 1.15 * error(before, matte) + 5
    changed = (found > 0.5) != (before > 0.5)
    assert float(changed.sum()) < 0.02 * float((matte > 0.5).sum())


def test_a_matte_without_an_edge_stays_as_it_is() -> None:
    frame, matte, background = blurred_disc(1, 0)
    missing = torch.zeros_like(matte, dtype=torch.bool)
    for plain in (torch.zeros_like(matte), torch.ones_like(matte)):
        assert torch.equal(soften(plain, frame, background, missing), plain)
