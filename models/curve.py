"""A curve that can only rise: the weights of a transition's frames, free to move but in order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST_RISE = 1e-4
"""Smallest rise between two frames at the start. A rise of zero would need a logit of -infinity."""

FALL_TOLERANCE = 1e-6
"""Fall between two frames, in weight, that passes for rounding."""


class MonotoneCurve(nn.Module):
    """Rising weights ``w_1 < ... < w_n`` in (0, 1).

    The weights are the cumulative sum of the first n of n + 1 rises, and
    ``rises = softmax(logits)``.

    init: the weights at the start, ``(n,)`` in [0, 1], never falling. Rises below
        :data:`LEAST_RISE` are lifted to it.

    Raises ValueError where ``init`` is empty, falls, or is not one-dimensional.
    """

    def __init__(self, init: Tensor) -> None:
        super().__init__()
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        values = torch.cat([ends[:1], init.detach().cpu().double(), ends[1:]])
        rises = values.diff()
        if init.ndim != 1 or not len(init) or bool((rises < -FALL_TOLERANCE).any()):
            raise ValueError(f"a curve needs rising weights in [0, 1], got {init.tolist()}")
        rises = rises.clamp_min(LEAST_RISE)
        self.logits = nn.Parameter((rises / rises.sum()).log().float())

    def forward(self) -> Tensor:
        """Return the weights, ``(n,)``."""
        return self.logits.softmax(0).cumsum(0)[:-1]
