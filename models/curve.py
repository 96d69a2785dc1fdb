"""A curve that can only rise: the mixing weights of a transition's frames, free to move and never out of order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEP = 1e-4
"""Least rise from one frame to the next at the start. A flat piece would be a parameter at minus infinity."""


class MonotoneCurve(nn.Module):
    """Weights ``w_1 < ... < w_n`` in (0, 1): the running sum of the first n of n + 1 rises, ``rises = softmax(logits)``.

    init: ``(n,)`` weights in [0, 1], not falling; the curve starts there (rises below 1e-4 are lifted to it).
    """

    def __init__(self, init: Tensor) -> None:
        super().__init__()
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        values = torch.cat([ends[:1], init.detach().cpu().double(), ends[1:]])
        rises = values.diff()
        if init.ndim != 1 or not len(init) or bool((rises < -1e-6).any()):
            raise ValueError(f"a curve needs rising weights in [0, 1], got {init.tolist()}")
        rises = rises.clamp_min(STEP)
        self.logits = nn.Parameter((rises / rises.sum()).log().float())

    def forward(self) -> Tensor:
        """The weights, ``(n,)``."""
        return self.logits.softmax(0).cumsum(0)[:-1]
