"""Draw the matte's edge: a graph cut along each frame's colour edges, then soft at full size."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import resize
from stages.segment.guided_filter import guided_lines

# The constants below were chosen on the development footage.
SURE_MOVING, SURE_STILL = 0.2, 0.1
"""Mattes this near to 0 and 1 may not change, under a moving camera and otherwise.

Under a moving camera, the graph cut removed thin limbs at 0.1.
"""
LEAST_SURE = 20  # sure pixels of each side that are needed to learn its colours
CUT_ROUNDS = 2  # iterations of GrabCut, each of which learns the colours again
RADIUS, FLOOR = 2, 1e-4
"""Radius in pixels and variance floor of the guided filter that softens the graph cut's edge."""
SOFT = 0.1  # part of the filter's range that is clipped at both ends


def cut(frames: Tensor, odds: Tensor, sure: float = SURE_MOVING) -> Tensor:
    """Return a hard matte ``(T, 1, h, w)`` of 0 and 1 by graph cuts (GrabCut, Rother et al. 2004).

    frames: ``(T, 3, h, w)`` in [0, 1].
    odds: the foreground's log-odds ``(T, h, w)``. Only unsure pixels may change sides.
    sure: pixels whose matte is this near to 0 or 1 are sure.
    """
    mattes = [
        _cut_frame(frame, torch.sigmoid(each).cpu().numpy(), sure)
        for frame, each in zip(frames, odds, strict=True)
    ]
    return torch.from_numpy(np.stack(mattes))[:, None].to(frames)


def _cut_frame(frame: Tensor, matte: NDArray[np.float32], sure: float) -> NDArray[np.bool_]:
    """Return the hard matte ``(h, w)`` of one frame ``(3, h, w)``; see :func:`cut`.

    A frame with too few sure pixels is not cut.
    """
    sides = np.full(matte.shape, cv2.GC_PR_BGD, np.uint8)
    sides[matte > 0.5] = cv2.GC_PR_FGD
    sides[matte > 1 - sure] = cv2.GC_FGD
    sides[matte < sure] = cv2.GC_BGD
    if min((sides == cv2.GC_FGD).sum(), (sides == cv2.GC_BGD).sum()) < LEAST_SURE:
        return np.asarray(matte > 0.5)
    picture = np.ascontiguousarray(
        (255 * frame).round().to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    )
    # GrabCut draws its first clusters from a global generator.
    cv2.setRNGSeed(0)
    cv2.grabCut(
        picture,
        sides,
        (0, 0, 0, 0),
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        CUT_ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    return np.asarray((sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD))


def upsampled(matte: Tensor, work: Tensor, frames: Tensor) -> Tensor:
    """Return a hard matte at full size, ``(T, 1, H, W)`` in [0, 1], with soft edges.

    The guided filter is fitted at the size of ``work`` and applied to ``frames`` (He and Sun 2015).

    matte: hard, ``(T, 1, h, w)``. work: ``(T, 3, h, w)``. frames: ``(T, 3, H, W)``.
    """
    size = (frames.shape[-2], frames.shape[-1])
    large = torch.empty_like(frames[:, :1])
    for t, frame in enumerate(frames):
        slope, offset = guided_lines(matte[t][None], work[t][None], RADIUS, FLOOR)
        soft = (resize(slope, size) * frame).sum(1, keepdim=True) + resize(offset, size)
        large[t] = ((soft[0] - SOFT) / (1 - 2 * SOFT)).clamp(0, 1)
    return large
