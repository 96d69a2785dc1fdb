"""Say how likely a pixel is foreground by its difference from the background of a fixed camera."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box
from stages.segment.background import Plate
from stages.segment.log_odds import MOST_ODDS, odds_above

# The constants below were chosen on the development footage.
LEAST_DIFFERENCE = 0.06  # least difference of colour to the plate that is notable, in [0, 1]
NOISE_FACTOR = 4.0  # times the median difference that is added to it
CHANGED = 0.8  # log-odds where the picture of a fixed camera changed


def odds_by_background(frames: Tensor, plate: Plate, odds: Tensor) -> Tensor:
    """Combine the log-odds of motion with the difference to a fixed background.

    What differs is foreground even if it stands still. What does not differ is background even if
    the flow says that it moves, because flow reaches beyond outlines.

    frames: ``(T, 3, h, w)`` in [0, 1]. odds: of motion, ``(T, h, w)``.
    plate: at any size. Where it is not trusted, motion decides.
    """
    small = plate.resized((frames.shape[-2], frames.shape[-1]))
    away, notable = _difference_and_limit(frames, small)
    joined = (odds / 2 + odds_above(away / notable)).clamp(-MOST_ODDS, MOST_ODDS)
    # Where the plate is not trusted, rest is no evidence, and change means that something moved.
    soft = torch.cat([box(frame[None], 1) for frame in frames])
    changes = (soft.amax(0) - soft.amin(0)).amax(0, keepdim=True) > notable
    return torch.where(small.trusted, joined, odds.clamp_min(0) + CHANGED * (changes & (odds < 0)))


def difference_to(frames: Tensor, plate: Plate) -> Tensor:
    """Return how far each pixel is from a fixed background, ``(T, h, w)``.

    A difference of 1 is notable: more than noise, compression and slight changes of light.

    frames: ``(T, 3, h, w)`` in [0, 1]. plate: of this size.
    """
    away, notable = _difference_and_limit(frames, plate)
    return away / notable


def _difference_and_limit(frames: Tensor, plate: Plate) -> tuple[Tensor, Tensor]:
    """Return the difference of colour to the plate, ``(T, h, w)``, and from where it is notable."""
    away = torch.cat(
        [box((frame - plate.picture).abs().amax(0)[None, None], 1) for frame in frames]
    )[:, 0]
    return away, LEAST_DIFFERENCE + NOISE_FACTOR * away.median()
