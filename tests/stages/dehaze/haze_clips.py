"""Hazy pictures with a known transmission, and what holds for every answer to them."""

from __future__ import annotations

import torch
from clips import drifting, psnr
from torch import Tensor

from stages.context import FitSettings, Separation, SeparationContext
from stages.dehaze.layers import separate, survey
from stages.dehaze.model import rounded
from stages.mixing.haze import Haze

SIZE = (72, 96)


def haze(clear: Tensor, transmission: Tensor, light: Tensor) -> Tensor:
    """Return the hazy picture of the forward model."""
    return Haze(transmission).mix(light, clear)


def context(preset: str = "fast", seed: int = 0, seconds: float | None = None) -> SeparationContext:
    return SeparationContext(FitSettings(preset=preset, seed=seed, max_seconds=seconds))


def scene(
    frames: int = 1,
    size: tuple[int, int] = SIZE,
    seed: int = 3,
    velocity: tuple[float, float] = (0.7, 0.0),
) -> Tensor:
    """Make a rough texture with black and white in many places, ``(T, 3, H, W)``."""
    return ((drifting(seed, frames, velocity, size) - 0.5) * 2 + 0.4).clamp(0, 1)


def veil(size: tuple[int, int] = SIZE, near: float = 0.8, far: float = 0.35) -> Tensor:
    """Make a transmission that falls towards the top, ``(1, 1, H, W)``."""
    return torch.linspace(far, near, size[0]).view(1, 1, -1, 1).expand(1, 1, *size)


def solve(frames: Tensor, told: SeparationContext | None = None) -> Separation:
    told = told or context()
    return separate(frames, survey(frames, told), told)


def mixed_back(separated: Separation) -> Tensor:
    layers = separated.layers
    return haze(
        rounded(layers["clear"]), rounded(layers["transmission"]), rounded(layers["airlight"])
    )


def faults(frames: Tensor, separated: Separation) -> list[str]:
    """Return what is wrong with an answer: shapes, ranges, or a mixture unlike the input."""
    layers = separated.layers
    count, _, height, width = frames.shape
    wrong = []
    if layers["clear"].shape != frames.shape:
        wrong.append("the shape of the clear picture")
    if layers["transmission"].shape != (count, 1, height, width):
        wrong.append("the shape of the transmission")
    if layers["airlight"].shape not in ((1, 3, height, width), frames.shape):
        wrong.append("the shape of the airlight")
    for name, pixels in layers.items():
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            wrong.append(f"the values of {name}")
    if psnr(mixed_back(separated), frames) <= 40:
        wrong.append("the mixture")
    return wrong
