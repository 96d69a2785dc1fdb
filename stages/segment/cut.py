"""The matte's edge: a cut through every frame where its colours part, then soft at full size."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import resize
from stages.segment.votes import guided_lines

SURE_BELOW, SURE_ABOVE = 0.2, 0.8
"""Mattes that the cut may not change. With 0.1 and 0.9 it lost thin limbs."""
LEAST = 20  # sure pixels of both kinds without which no colours can be learnt
CUT_ROUNDS = 2
RADIUS, FLOOR = 2, 1e-4
"""Of the guided filter that softens the cut, at the working size."""
SOFT = 0.1  # the filter's tails, which are cut off at both ends


def cut(frames: Tensor, odds: Tensor) -> Tensor:
    """Foreground or not, ``(T, 1, h, w)`` of 0 and 1, by graph cuts over colour mixtures (GrabCut, Rother et al. 2004).

    frames: ``(T, 3, h, w)`` in [0, 1]; odds: the foreground's log-odds ``(T, h, w)``; only unsure pixels may change sides.
    """
    done = [_cut_frame(frame, torch.sigmoid(each).cpu().numpy()) for frame, each in zip(frames, odds, strict=True)]
    return torch.from_numpy(np.stack(done))[:, None].to(frames)


def _cut_frame(frame: Tensor, matte: NDArray[np.float32]) -> NDArray[np.bool_]:
    sides = np.full(matte.shape, cv2.GC_PR_BGD, np.uint8)
    sides[matte > 0.5] = cv2.GC_PR_FGD
    sides[matte > SURE_ABOVE] = cv2.GC_FGD
    sides[matte < SURE_BELOW] = cv2.GC_BGD
    if min((sides == cv2.GC_FGD).sum(), (sides == cv2.GC_BGD).sum()) < LEAST:
        return np.asarray(matte > 0.5)
    picture = np.ascontiguousarray((255 * frame).round().to("cpu", torch.uint8).permute(1, 2, 0).numpy())
    # Its first clusters are drawn from a generator that other calls move on.
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, sides, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), CUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD))


def refine(matte: Tensor, work: Tensor, frames: Tensor) -> Tensor:
    """The matte at the size of ``frames`` ``(T, 3, H, W)``, soft where their colours are: ``(T, 1, H, W)`` in [0, 1].

    matte: ``(T, 1, h, w)``, made on ``work`` ``(T, 3, h, w)``; lines in colour are found there and read at full size.
    """
    size = (frames.shape[-2], frames.shape[-1])
    done = torch.empty_like(frames[:, :1])
    for t, frame in enumerate(frames):
        slope, offset = guided_lines(matte[t][None], work[t][None], RADIUS, FLOOR)
        soft = (resize(slope, size) * frame).sum(1, keepdim=True) + resize(offset, size)
        done[t] = ((soft[0] - SOFT) / (1 - 2 * SOFT)).clamp(0, 1)
    return done
