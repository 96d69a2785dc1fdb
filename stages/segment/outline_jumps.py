"""Measure how much the motion jumps along the outline of a matte.

Motion jumps at an object's outline, but not at that of a piece of receding ground.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box, length
from stages.segment.margins import dilate
from stages.segment.motion import WindowMotion

AROUND = 4  # pixels to each side of an outline in which motion is compared
LEAST_SIDE = 0.15  # least part of that square on either side of the outline
TYPICAL_QUANTILE = 0.75  # quantile of the motion's local spread that an outline has to exceed
LEAST_SPREAD = 0.05  # pixels a frame that are added to that spread


def mean_outline_jump(motion: WindowMotion, matte: Tensor) -> float:
    """Return the mean over frames of :func:`outline_jumps`, in [0, 1]."""
    return float(outline_jumps(motion, matte).mean())


def outline_jumps(motion: WindowMotion, matte: Tensor) -> Tensor:
    """Return how much the motion changes along a matte's outline in each frame, ``(T,)`` in [0, 1].

    The part of the outline that the picture's outer edge cuts off counts as 0; so does a frame
    without a matte.

    matte: ``(T, h, w)`` of bool.
    """
    inside = matte[:, None]
    outline = (dilate(inside, 1) & ~inside) | (dilate(~inside, 1) & inside)
    share = box(inside.float(), AROUND)
    # Where one side fills nearly all of a square, too little of the other is in it to be compared.
    is_compared = outline & (share > LEAST_SIDE) & (share < 1 - LEAST_SIDE)
    # Each frame's flow to the next one and to the one before; at the ends, the only one there is.
    to_next = torch.cat([motion.forward, motion.backward[-1:]])
    to_previous = torch.cat([motion.forward[:1], motion.backward])
    jump = (_jumps(to_next, inside.float()) + _jumps(to_previous, inside.float())) / 2
    # The outline is two pixels wide, one on each of its sides.
    jumps = (jump * is_compared).sum((1, 2, 3)) / 2
    sides = (matte[:, 0], matte[:, -1], matte[:, :, 0], matte[:, :, -1])
    cut_off = torch.stack([side.sum(1) for side in sides]).sum(0)
    return jumps / (outline.sum((1, 2, 3)) / 2 + cut_off).clamp_min(1)


def _jumps(flow: Tensor, inside: Tensor) -> Tensor:
    """Return how much the mean flow in and outside a matte differs around each pixel, in [0, 1].

    The difference counts relative to how much flow varies elsewhere in the same frame.

    flow: ``(T, 2, h, w)``. inside: the matte, ``(T, 1, h, w)`` of 0 and 1, as the result's shape.
    """
    share = box(inside, AROUND)
    mean_inside = box(flow * inside, AROUND) / share.clamp_min(1e-3)
    mean_outside = box(flow * (1 - inside), AROUND) / (1 - share).clamp_min(1e-3)
    jump = length(mean_inside - mean_outside)
    variance = (box(flow**2, AROUND) - box(flow, AROUND) ** 2).clamp_min(0)
    spread = variance.sum(1, keepdim=True).sqrt()
    typical = spread.flatten(1).quantile(TYPICAL_QUANTILE, dim=1).view(-1, 1, 1, 1) + LEAST_SPREAD
    return jump / (jump + 2 * typical)
