"""Inputs of the generators: one code per frame, coupled in time, so that neighbouring frames start out alike.

Shapes: codes are ``(T, C, h, w)``, float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def keyed_noise(
    frames: int,
    channels: int,
    size: tuple[int, int],
    seed: int,
    *,
    moving: float = 0.3,
    spacing: int = 8,
) -> Tensor:
    """Unit-variance noise of which a share moves: ``code_t = sqrt(1 - m) z + sqrt(m) (cos(f) k_i + sin(f) k_(i+1))``.

    ``z`` and the keys ``k_i`` (one every ``spacing`` frames) are normal noise; ``f`` runs from 0 to pi/2 between two keys, which keeps the
    variance at one in every frame, where a straight line between keys would lower it half-way. ``m`` is ``moving``, in [0, 1].

    Returns ``(frames, channels, *size)``.
    """
    generator = torch.Generator().manual_seed(seed)
    still = torch.randn(1, channels, *size, generator=generator)
    keys = torch.randn((frames - 1) // spacing + 2, channels, *size, generator=generator)
    time = torch.arange(frames) / spacing
    before = time.floor().long()
    turn = ((time - before) * (math.pi / 2)).view(-1, 1, 1, 1)
    return math.sqrt(1 - moving) * still + math.sqrt(moving) * (
        torch.cos(turn) * keys[before] + torch.sin(turn) * keys[before + 1]
    )


def walking_noise(frames: int, channels: int, size: tuple[int, int], seed: int) -> Tensor:
    """Double-DIP's noise for video: ``z_0 = U(-0.05, 0.05)``, ``z_(t+1) = z_t + U(0, 0.01)`` (Gandelsman et al. 2019, section 5 and code).

    Returns ``(frames, channels, *size)``.
    """
    generator = torch.Generator().manual_seed(seed)
    first = (torch.rand(1, channels, *size, generator=generator) - 0.5) * 0.1
    steps = torch.rand(frames - 1, channels, *size, generator=generator) * 0.01
    return torch.cat([first, first + steps.cumsum(0)])


class CoupledNoise(nn.Module):
    """The codes of one layer's frames: :func:`keyed_noise`, which the fit may move if ``learnable``.

    Learned codes settle what is different between frames at 1/16 of the size and leave what they share to the generator.
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
        moving: float = 0.3,
        spacing: int = 8,
    ) -> None:
        super().__init__()
        codes = keyed_noise(frames, channels, size, seed, moving=moving, spacing=spacing)
        if learnable:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)

    def forward(self, index: Tensor) -> Tensor:
        """``index``: ``(B,)`` frame numbers; returns their codes ``(B, C, h, w)``."""
        return self.codes.index_select(0, index)
