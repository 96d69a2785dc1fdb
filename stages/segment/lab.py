"""Colours as CIE L, a and b, in which distances are about as large as they look."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

LEAST_RANGES = (20.0, 30.0, 30.0)
"""Least ranges of L, a and b that are stretched to [0, 1], so that noise is not."""


def lab_colors(frames: Tensor) -> Tensor:
    """Convert ``frames`` ``(T, 3, h, w)`` in [0, 1] to CIE L (0 to 100), a and b."""
    pictures = [
        cv2.cvtColor(np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy()), cv2.COLOR_RGB2LAB)
        for frame in frames
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(frames)


def spread_colors(frames: Tensor) -> list[Tensor]:
    """Return L, a and b ``(T, h, w)`` of ``frames`` ``(T, 3, h, w)``, stretched to [0, 1]."""
    lab = lab_colors(frames)
    spread = []
    for axis, least in enumerate(LEAST_RANGES):
        low, high = np.quantile(lab[:, axis].cpu().numpy(), [0.005, 0.995])
        size = max(high - low, least)
        spread.append(((lab[:, axis] - (low + high - size) / 2) / size).clamp(0, 1))
    return spread
