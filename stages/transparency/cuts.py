"""Divide a window at its cuts: the layers of one shot tell nothing of those of another."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import shrunk

COMPARED_PIXELS = 32 * 24
"""Pixels of the small frames that are compared, so that moving things change them little."""
LEAST_STEP = 0.04
"""Mean difference of two frames, in [0, 1], from which there may be a cut between them."""
SUDDEN = 2.5
"""Ratio of this difference to those before and after it from which there is one."""
NEAR = 4
"""Frames before and after a step with which it is compared."""


def shots_of(window: Tensor) -> list[slice]:
    """Return the frames of each shot of a window ``(T, 3, H, W)``, in order; one or more."""
    small = shrunk(window, COMPARED_PIXELS)
    steps = (small[1:] - small[:-1]).abs().mean((1, 2, 3))
    begins = [0, *(place + 1 for place in range(len(steps)) if _is_cut(steps, place)), len(window)]
    return [slice(begin, end) for begin, end in zip(begins, begins[1:], strict=False)]


def _is_cut(steps: Tensor, place: int) -> bool:
    """Return whether a step is far larger than those near it. steps: ``(T - 1,)``."""
    near = torch.cat([steps[max(0, place - NEAR) : place], steps[place + 1 : place + 1 + NEAR]])
    usual = float(near.max()) if len(near) else 0.0
    return float(steps[place]) > max(LEAST_STEP, SUDDEN * usual)
