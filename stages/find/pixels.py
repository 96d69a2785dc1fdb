"""Transitions in which each pixel changes at a time of its own, in no pattern that is known.

Every pixel of their frames lies between the two scenes, and its weight never falls
(:mod:`stages.mixing.pixel_matte`). That leaves much freedom, so such a matte has to explain nearly
all of the frames. Axes: T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stages.find.curve import NOISE, Curve, MeasuredWeights, squared_difference
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.features import channels_first, is_too_small
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import PIXELS
from stages.mixing.blend import blend
from stages.mixing.pixel_matte import pixel_matte

ROUNDS = 3  # of moving the ends
SHORTEST = 4  # frames from the last clean one to the first clean one
MOST_ERROR = 0.25  # squared error, as part of what the nearer clean frame leaves
STEP_ERROR = 0.02  # standard error of a frame's mean weight


@dataclass(frozen=True)
class MeasuredPixels:
    """The weights of a matte by pixels, and the error that it leaves.

    curve: mean weight of each frame, ``(T,)``. error: mean squared error of the frames.
    relative_error: the same as part of what the nearer clean frame leaves.
    """

    curve: Curve
    error: float
    relative_error: float


def find_pixels(stretch: Stretch, before: int, after: int) -> TransitionFit | None:
    """Return the transition by pixels near two frames, or None where there is none.

    before, after: roughly the last clean frame before it and the first one after it.
    """
    if is_too_small(stretch.frames):
        return None
    seen: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        seen.add((before, after))
        measured, _ = stretch.measured(*stretch.widened(before, after))
        one, other = ends(measured)
        # The frames between the two given ones are mixed for sure.
        before, after = min(one, before), max(other, after)
        if after - before < SHORTEST:
            return None
        if (before, after) in seen:
            break
    found = _measured(stretch, before, after)
    if found.relative_error > MOST_ERROR:
        return None
    error = np.full(len(found.curve), STEP_ERROR)
    weights = MeasuredWeights(before, after, found.curve, error, np.zeros(len(error)))
    return TransitionFit(
        before, after, rising(smooth_curve(weights)), PIXELS, relative_error=found.relative_error
    )


def pixels_between(stretch: Stretch, before: int, after: int) -> TransitionFit | None:
    """Return the transition by pixels that fills the frames between two clean ones, or None.

    Its ``relative_error`` is a part of the squared difference of the two clean frames.
    """
    if is_too_small(stretch.frames):
        return None
    found = _measured(stretch, before, after)
    if found.relative_error > MOST_ERROR:
        return None
    apart = squared_difference(stretch.frames[before], stretch.frames[after])
    return TransitionFit(
        before, after, rising(found.curve), PIXELS, relative_error=found.error / apart
    )


def _measured(stretch: Stretch, before: int, after: int) -> MeasuredPixels:
    """Return the matte between two clean frames, as its means and what it leaves."""
    frames = channels_first(stretch.frames[before : after + 1])
    inner = frames[1:-1]
    sides = frames[:1], frames[-1:]
    even = torch.arange(1, len(inner) + 1) / (len(inner) + 1)
    matte = pixel_matte(inner, (sides[0].expand_as(inner), sides[1].expand_as(inner)), even)
    contrast = (sides[1] - sides[0]).square().sum(1, keepdim=True)
    # The mean weight by least squares, not that of the matte: what moves in the clean frames makes
    # pixels change too early or too late, since they may change only once.
    along = ((inner - sides[0]) * (sides[1] - sides[0])).sum((1, 2, 3))
    means = (along / contrast.sum().clamp_min(1e-9)).clamp(0, 1)
    error = float((blend(*sides, matte) - inner).square().mean())
    held = torch.stack([(inner - side).square().mean((1, 2, 3)) for side in sides])
    relative_error = error / (float(held.min(0).values.mean()) + NOISE)
    return MeasuredPixels(means.double().numpy(), error, relative_error)
