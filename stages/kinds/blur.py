"""Blurs: a dissolve whose scenes are blurred or coarsened, most in its middle.

FFmpeg has two. ``hblur`` averages each row over a growing and shrinking length, ``pixelize`` shows
one value for each block of pixels. Fine detail is gone from these frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.kinds.base import TransitionKind

LEVELS = 50  # FFmpeg rounds the size of the blocks up to this part of the whole way
BLOCKS = 10.0  # blocks along the shorter side, in the middle of ``pixelize``


def blurred_rows(picture: Tensor, progress: float) -> Tensor:
    """Return ``(C, H, W)`` as ``hblur`` shows it at a progress in [0, 1].

    Each pixel is the mean of itself and of those to its right, up to half of the width.
    """
    width = picture.shape[-1]
    length = 1 + round(width / 2 * 2 * min(progress, 1 - progress))
    sums = torch.cat([torch.zeros_like(picture[..., :1]), picture.cumsum(-1)], -1)
    begin = torch.arange(width, device=picture.device)
    end = (begin + length).clamp(max=width)
    return (sums[..., end] - sums[..., begin]) / (end - begin)


def in_blocks(picture: Tensor, progress: float) -> Tensor:
    """Return ``(C, H, W)`` as ``pixelize`` shows it: each block has the value of its middle."""
    height, width = picture.shape[-2:]
    part = -(-min(progress, 1 - progress) * LEVELS // 1) / LEVELS
    side = 2 * part * min(height, width) / (2 * BLOCKS)
    if side <= 0:
        return picture
    middles = []
    for count in (height, width):
        blocks = torch.arange(count, device=picture.device) // side
        middles.append(((blocks + 0.5) * side).long().clamp(0, count - 1))
    return picture[..., middles[0], :][..., middles[1]]


KIND = TransitionKind("blur", undo="filter", filters={"hblur": blurred_rows, "pixelize": in_blocks})
