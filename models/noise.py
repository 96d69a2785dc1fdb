"""Inputs of the generators: one code per frame, coupled in time, so neighbours start out alike.

Codes are ``(T, C, h, w)``, float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MOVING = 0.3
"""Part of the codes' variance that changes from frame to frame."""

SPACING = 8
"""Frames between two keys of the changing part."""

WALK_START = 0.1
"""Width of the uniform distribution of Double-DIP's first code, from its released code."""

WALK_STEP = 0.01
"""Largest step of Double-DIP's codes from one frame to the next, from its released code."""


def keyed_noise(
    frames: int,
    channels: int,
    size: tuple[int, int],
    seed: int,
    *,
    moving: float = MOVING,
    spacing: int = SPACING,
) -> Tensor:
    """Return noise of unit variance, a part of which changes over time.

    ``code_t = sqrt(1 - m) z + sqrt(m) (cos(f) k_i + sin(f) k_(i+1))``, where ``z`` and the keys
    ``k_i`` are normal noise and ``f`` runs from 0 to pi/2 between two keys. The sum of squares of
    cosine and sine keeps the variance at one in every frame; a straight line between two keys
    would lower it half-way.

    frames, channels, size: of the result, ``(frames, channels, *size)``. seed: of the numbers.
    moving: ``m``, in [0, 1]. spacing: frames from one key to the next.
    """
    generator = torch.Generator().manual_seed(seed)
    still = torch.randn(1, channels, *size, generator=generator)
    keys = torch.randn((frames - 1) // spacing + 2, channels, *size, generator=generator)
    time = torch.arange(frames) / spacing
    before = time.floor().long()
    angle = ((time - before) * (math.pi / 2)).view(-1, 1, 1, 1)
    return math.sqrt(1 - moving) * still + math.sqrt(moving) * (
        torch.cos(angle) * keys[before] + torch.sin(angle) * keys[before + 1]
    )


def walking_noise(frames: int, channels: int, size: tuple[int, int], seed: int) -> Tensor:
    """Return Double-DIP's noise for video, ``(frames, channels, *size)``.

    ``z_0 = U(-0.05, 0.05)`` and ``z_(t+1) = z_t + U(0, 0.01)`` (Gandelsman et al., CVPR 2019,
    section 5 and released code).
    """
    generator = torch.Generator().manual_seed(seed)
    first = (torch.rand(1, channels, *size, generator=generator) - 0.5) * WALK_START
    steps = torch.rand(frames - 1, channels, *size, generator=generator) * WALK_STEP
    return torch.cat([first, first + steps.cumsum(0)])


class CoupledNoise(nn.Module):
    """The codes of one layer's frames: :func:`keyed_noise` that a fit may move.

    Learned codes hold what differs between frames, at 1/16 of the size. What the frames have in
    common is left to the generator.

    frames, channels, size, seed, moving, spacing: as in :func:`keyed_noise`.
    learnable: whether the codes are parameters.
    """

    codes: Tensor

    def __init__(
        self,
        frames: int,
        channels: int,
        size: tuple[int, int],
        seed: int,
        *,
        learnable: bool = True,
        moving: float = MOVING,
        spacing: int = SPACING,
    ) -> None:
        super().__init__()
        codes = keyed_noise(frames, channels, size, seed, moving=moving, spacing=spacing)
        if learnable:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)

    def forward(self, index: Tensor) -> Tensor:
        """Return the codes ``(B, C, h, w)`` of the frames ``index`` ``(B,)``."""
        return self.codes.index_select(0, index)
