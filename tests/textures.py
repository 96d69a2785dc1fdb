"""Repeating textures, drawn by seed: tiles whose rows are set off, and stripes in any direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Size = tuple[int, int]


def tiles(random: torch.Generator, size: Size) -> Tensor:
    """Return a texture ``(3, H, W)`` in [0, 1]: a drawn tile of 7 to 16 pixels a side.

    size: height and width. Every row of tiles is set off against the one above.
    """
    height, width, off = (
        int(torch.randint(low, high, (), generator=random))
        for low, high in ((7, 17), (7, 17), (0, 7))
    )
    tile = torch.rand(3, height, width, generator=random)
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    return tile[:, rows % height, (columns + off * (rows // height)) % width]


def stripes(random: torch.Generator, size: Size) -> Tensor:
    """Return a texture ``(3, H, W)`` in [0, 1]: stripes of 7 to 16 pixels in a drawn direction."""
    way, period = torch.rand(2, generator=random).tolist()
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    across = columns * math.cos(math.pi * way) + rows * math.sin(math.pi * way)
    colors = torch.rand(3, 16, generator=random)
    place = across / (7 + 9 * period) % 1 * 16
    part, number = place.frac(), place.long()
    mixed: Tensor = (1 - part) * colors[:, number % 16] + part * colors[:, (number + 1) % 16]
    return mixed
