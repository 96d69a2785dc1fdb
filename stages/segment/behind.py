"""Compare every frame with what other frames show behind the foreground, under a moving camera.

The background's motion is known around the foreground and is drawn on behind it. Along it other frames show the same place of the scene
before the foreground came or after it left. What differs from that is foreground though it rests, as a standing leg; what agrees with
it is background though flow says that it moves, as flow reaches beyond an outline.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import box, lookup, warp
from stages.segment.background import grown, spread
from stages.segment.motion import Motion, camera_flow
from stages.segment.parallax import follow

LAGS = (3, 6, 9, 12, 16)
"""Frames to each side from which the background is taken."""
FOREGROUND = 0.3  # matte above which a pixel shows no background
MARGIN, FLOW_MARGIN = 2, 4
"""Pixels around the foreground whose colours and whose flow are not the background's."""
NEAR = 12  # pixels around the foreground within which the comparison is made
TRUSTED = 0.05  # of a trajectory
FADING = 0.8
VIEWS = 2  # other frames that have to show a place
SHIFT = 1  # pixels that a view may be off
DIFFERENT, NOISY, STEEP = 0.03, 2.0, 3.0
"""Difference that tells foreground from background: at least, in times the noise beside it, and how sharply it decides."""
DIFFERS, AGREES = 3.0, 0.7
"""Most log-odds for the foreground and for the background."""
NOISE_QUANTILE = 0.75


def behind_odds(frames: Tensor, motion: Motion, matte: Tensor) -> tuple[Tensor, Tensor]:
    """Return the foreground's log-odds by the difference to the background, ``(T, h, w)``, and where they are known, of bool.

    Agreement counts less than difference: a plain body agrees with itself where the matte has missed it.

    frames: ``(T, 3, h, w)``. matte: ``(T, 1, h, w)`` in [0, 1], roughly the foreground. motion: of frames of this size.
    """
    hidden = grown(matte > FOREGROUND, MARGIN)
    unsure = grown(matte > FOREGROUND, FLOW_MARGIN)
    away, known = torch.zeros_like(matte[:, 0]), torch.zeros_like(matte[:, 0], dtype=torch.bool)
    for t in range(len(frames)):
        views, shown = _views(frames, hidden, unsure, motion, t)
        if not len(views):
            continue
        known[t] = shown.sum((0, 1)) >= VIEWS
        middle = torch.where(shown, views, torch.nan).nanmedian(0).values
        away[t] = _outside(frames[t], middle, known[t])
    beside = away[known & ~unsure[:, 0]]
    if not len(beside):
        return torch.zeros_like(away), torch.zeros_like(known)
    noise = float(beside.quantile(NOISE_QUANTILE))
    odds = STEEP * torch.log((box(away[:, None], 1)[:, 0] + 1e-3) / (DIFFERENT + NOISY * noise))
    near = grown(matte > FOREGROUND, NEAR)[:, 0]
    return odds.clamp(-AGREES, DIFFERS), known & near


def _views(
    frames: Tensor, hidden: Tensor, unsure: Tensor, motion: Motion, at: int
) -> tuple[Tensor, Tensor]:
    """What other frames show of the background of frame ``at``: ``(n, 3, h, w)``, and where they show any, ``(n, 1, h, w)`` of bool."""
    moved, trust, others = [], [], []
    for way in (1, -1):
        lags = [lag for lag in LAGS if 0 <= at + way * lag < len(frames)]
        if lags:
            flow, agree = follow(motion, at, way * lags[-1], FADING)
            moved.append(flow[[lag - 1 for lag in lags]])
            trust.append(agree[[lag - 1 for lag in lags]])
            others += [at + way * lag for lag in lags]
    if not others:
        return frames[:0], hidden[:0]
    flow, agree = torch.cat(moved), torch.cat(trust)
    camera = camera_flow(flow)
    seen = ~unsure[at][None] & (agree > TRUSTED)
    pairs = zip(torch.split(flow - camera, 1), torch.split(seen, 1), strict=True)
    behind = camera + torch.cat([spread(rest, known) for rest, known in pairs])
    inside = lookup(behind).abs().amax(-1)[:, None] <= 1
    covered = warp(hidden[others].float(), behind)
    return warp(frames[others], behind), inside & (covered < TRUSTED)


def _outside(frame: Tensor, middle: Tensor, known: Tensor) -> Tensor:
    """How far ``frame`` ``(3, h, w)`` lies outside what ``middle`` ``(3, h, w)`` shows within :data:`SHIFT` pixels: ``(h, w)``."""
    side = 2 * SHIFT + 1
    highest = functional.max_pool2d(torch.where(known, middle, -math.inf)[None], side, 1, SHIFT)[0]
    lowest = -functional.max_pool2d(torch.where(known, -middle, -math.inf)[None], side, 1, SHIFT)[0]
    away = torch.maximum(frame - highest, lowest - frame).clamp_min(0).amax(0)
    return torch.where(known, away, 0.0)
