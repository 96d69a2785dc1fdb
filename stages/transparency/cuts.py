"""Split a window at its cuts: the layers of one shot tell nothing of those of another."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import shrunk

COMPARED_PIXELS = 32 * 24
"""Pixels of the small frames that are compared, so that moving things change them little."""
LEAST_CHANGE = 0.04
"""Mean difference of two frames, in [0, 1], from which there may be a cut between them."""
LEAST_RATIO = 2.5
"""Ratio of this difference to the largest one near it, from which there is a cut."""
NEAR = 4
"""Changes before and after a change with which it is compared."""


def split_at_cuts(window: Tensor) -> list[slice]:
    """Return the frames of each shot of a window ``(T, 3, H, W)``, in order; one or more."""
    small = shrunk(window, COMPARED_PIXELS)
    changes = (small[1:] - small[:-1]).abs().mean((1, 2, 3))
    begins = [
        0,
        *(place + 1 for place in range(len(changes)) if _is_cut(changes, place)),
        len(window),
    ]
    return [slice(begin, end) for begin, end in zip(begins, begins[1:], strict=False)]


def _is_cut(changes: Tensor, place: int) -> bool:
    """Return whether a change is far larger than those near it. changes: ``(T - 1,)``."""
    near = torch.cat([changes[max(0, place - NEAR) : place], changes[place + 1 : place + 1 + NEAR]])
    usual = float(near.max()) if len(near) else 0.0
    return float(changes[place]) > max(LEAST_CHANGE, LEAST_RATIO * usual)
