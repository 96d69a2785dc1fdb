"""A dissolve between two textures that drift with known velocities, and their true flows."""

from __future__ import annotations

import torch
from clips import drifting
from torch import Tensor

from stages.mixing.mixture import Mixture, mix
from stages.shots import Space

PRE, STEPS, POST = 4, 5, 4
COUNT = PRE + STEPS + POST
INSIDE = slice(PRE, PRE + STEPS)
RIGHT, LEFT = (1.5, 0.5), (-1.0, 1.0)
SIZE = (48, 64)


def scenes() -> tuple[Tensor, Tensor]:
    """Return both scenes, ``(COUNT, 3, H, W)``."""
    return drifting(1, COUNT, RIGHT, SIZE), drifting(2, COUNT, LEFT, SIZE)


def mixed(a: Tensor, b: Tensor, space: Space = "gamma") -> Mixture:
    """Return the dissolve of two scenes ``(COUNT, 3, H, W)``."""
    weight = ((torch.arange(COUNT) - PRE + 1) / (STEPS + 1)).clamp(0, 1).view(-1, 1, 1, 1)
    return Mixture(mix(a, b, weight, space), weight, PRE, PRE + STEPS - 1, space)


def straight(velocity: tuple[float, float], template: int, size: tuple[int, int] = SIZE) -> Tensor:
    """Return the true flows of the mixed frames to ``template``, ``(STEPS, 2, H, W)``."""
    frames = torch.arange(PRE, PRE + STEPS, dtype=torch.float32)
    flows = ((template - frames)[:, None] * torch.tensor(velocity)).view(STEPS, 2, 1, 1)
    return flows.expand(STEPS, 2, *size).clone()


def inner(tensor: Tensor) -> Tensor:
    """Return a picture without its border, where nobody knows what comes in."""
    return tensor[..., 10:-10, 10:-10]
