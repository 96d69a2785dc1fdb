"""Find out which of two things hides the other where they meet.

Each thing is moved on as a whole, from one frame to a later one. Where both are expected at one
place, the frame shows the nearer one: there its colours fit, and those of the other do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from stages.motion.flow import box, warp
from stages.occlusion import Occlusion
from stages.segment.motion import WindowMotion
from stages.segment.point_groups import Labels

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
GAPS = (1, 2, 3)
"""Frames from the one in which two things are seen side by side to the one in which they meet."""
CLEARER = 0.02
"""Difference in RGB, 0 to 1, by which one thing's colours have to fit better to count."""


def occlusions(
    frames: Tensor, matte: Tensor, labels: Labels, numbers: Sequence[int], motion: WindowMotion
) -> tuple[Occlusion, ...]:
    """Return the evidence about each pair of things that are seen together in some frame.

    frames: ``(T, 3, h, w)`` in [0, 1]. matte: ``(T, h, w)`` of bool. labels: ``(T, h, w)``.
    numbers: of the things, in rising order. motion: of frames of this size.
    """
    masks = {number: matte & torch.from_numpy(labels == number) for number in numbers}
    moves = {number: _moves(masks[number], motion) for number in numbers}
    found = []
    for one, other in combinations(numbers, 2):
        evidence = Occlusion(one, other)
        for t in range(len(frames)):
            if not (bool(masks[one][t].any()) and bool(masks[other][t].any())):
                continue
            lowest = [
                float(masks[number][t].any(1).nonzero()[-1]) / matte.shape[1]
                for number in (one, other)
            ]
            evidence = evidence.plus(Occlusion(one, other, 0, 0, lowest[0], lowest[1], 1))
            for way in (1, -1):
                for gap in GAPS:
                    if 0 <= t + way * gap < len(frames):
                        votes = _votes(frames, masks, moves, (one, other), t, way * gap)
                        evidence = evidence.plus(Occlusion(one, other, *votes))
        if evidence.frames:
            found.append(evidence)
    return tuple(found)


def _moves(masks: Tensor, motion: WindowMotion) -> Tensor:
    """Return a thing's motion from each frame to the next as a whole, ``(T - 1, 2)``.

    It is the median over its pixels with a trusted flow; NaN where the thing is not seen.
    """
    moves = torch.full((len(masks) - 1, 2), torch.nan)
    for t in range(len(masks) - 1):
        inside = masks[t] & (motion.trust_forward[t, 0] > 0.5)
        if bool(inside.any()):
            moves[t] = motion.forward[t][:, inside].median(1).values
    return moves


def _votes(
    frames: Tensor,
    masks: Mapping[int, Tensor],
    moves: Mapping[int, Tensor],
    pair: tuple[int, int],
    at: int,
    step: int,
) -> tuple[float, float]:
    """Return in how many pixels of frame ``at + step`` each of the pair hides the other.

    frames: ``(T, 3, h, w)`` in [0, 1]. masks: of each thing, ``(T, h, w)`` of bool.
    moves: of each thing, ``(T - 1, 2)``. at: the frame from which both are moved on by ``step``.
    Returns no votes, 0 for both, where a motion is not known or the two do not meet.
    """
    expected, errors = [], []
    for number in pair:
        between = moves[number][min(at, at + step) : max(at, at + step)]
        shift = between.sum(0) if step > 0 else -between.sum(0)
        if bool(shift.isnan().any()):
            return 0.0, 0.0
        back = -shift.view(1, 2, 1, 1).expand(1, 2, *frames.shape[-2:])
        brought = warp(torch.cat([frames[at], masks[number][at][None].float()])[None], back)[0]
        expected.append(brought[3] > 0.5)
        missed = (brought[:3] - frames[at + step]).abs().mean(0)
        errors.append(box(missed[None, None], 1)[0, 0])
    both = expected[0] & expected[1]
    if not bool(both.any()):
        return 0.0, 0.0
    better = (errors[1] - errors[0])[both]
    return float((better > CLEARER).sum()), float((better < -CLEARER).sum())
