"""Draw pictures of things whose masks are known, and regions as a user draws them."""

from __future__ import annotations

import torch
from clips import drifting
from torch import Tensor

SIZE = (72, 96)


def area(top: int, bottom: int, left: int, right: int) -> Tensor:
    """Return a filled rectangle ``(H, W)`` of bool; bottom and right are exclusive."""
    pixels = torch.zeros(SIZE, dtype=torch.bool)
    pixels[top:bottom, left:right] = True
    return pixels


def disc(x: float, y: float, radius: float) -> Tensor:
    """Return a disc ``(H, W)`` of bool; all values are in pixels."""
    across, down = torch.arange(SIZE[1]) - x, (torch.arange(SIZE[0]) - y)[:, None]
    return across**2 + down**2 <= radius**2


def bird() -> tuple[Tensor, Tensor]:
    """Return a picture ``(3, H, W)`` of a body with a thin neck on textured water, and its mask."""
    mask = disc(50, 50, 14) | area(12, 50, 56, 60) | disc(58, 12, 4)
    water = drifting(3, 1, (0, 0), SIZE)[0] * torch.tensor([0.3, 0.5, 0.6]).view(3, 1, 1)
    body = 0.08 + 0.1 * drifting(4, 1, (0, 0), SIZE)[0]
    return torch.where(mask, body, water + 0.25), mask


def overlap(found: Tensor, mask: Tensor) -> float:
    """Return intersection over union of two masks of bool."""
    return float((found & mask).sum()) / float((found | mask).sum())


def thing_on_texture(seed: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return a picture ``(3, H, W)`` of a drawn disc on texture, its mask, and its centre."""
    generator = torch.Generator().manual_seed(seed)
    row, column = (
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((26, 46), (30, 66))
    )
    mask = disc(column, row, 18)
    color = torch.rand(3, 1, 1, generator=generator)
    ground = drifting(seed, 1, (0, 0), SIZE)[0]
    thing = 0.3 * drifting(seed + 50, 1, (0, 0), SIZE)[0] + 0.7 * color
    return torch.where(mask, thing, 0.4 * ground + 0.6 * (1 - color)), mask, (row, column)
