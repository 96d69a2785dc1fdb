"""The foreground with the margin around it that shows no clean background."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box_max

HIDDEN = 0.05  # matte above which a pixel shows too little background to be used
MARGIN = 0.012
"""Width, in longer sides of the picture, around the foreground that is not used as background.

Blur and shadows reach that far.
"""
LEAST_SIDE = 8  # longer side, in pixels, up to which a picture has no margin


def hidden_background(matte: Tensor) -> Tensor:
    """Return where the foreground or its margin hides the background, ``(T, 1, H, W)`` of bool.

    matte: ``(T, 1, H, W)`` in [0, 1].
    """
    return torch.cat([dilate(frame[None] > HIDDEN, margin_of(matte)) for frame in matte])


def margin_of(matte: Tensor) -> int:
    """Return the width in pixels of the margin around a foreground.

    matte: ``(..., H, W)``, of which only the size matters.
    """
    longer = max(matte.shape[-2:])
    return max(1, round(MARGIN * longer)) if longer > LEAST_SIDE else 0


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilate ``mask`` ``(n, 1, h, w)`` of bool by a square of ``2 radius + 1`` pixels."""
    return box_max(mask.float(), radius) > 0
