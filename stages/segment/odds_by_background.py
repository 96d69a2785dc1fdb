"""Say how likely a pixel is foreground by its difference from the background of a fixed camera."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box
from stages.segment.log_odds import MOST_ODDS, odds_above
from stages.segment.plate import Plate

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
    plate = plate.resized((frames.shape[-2], frames.shape[-1]))
    difference, notable = _difference_and_limit(frames, plate)
    joined = (odds / 2 + odds_above(difference / notable)).clamp(-MOST_ODDS, MOST_ODDS)
    # Where the plate is not trusted, rest is no evidence, and change means that something moved.
    blurred = torch.cat([box(frame[None], 1) for frame in frames])
    has_changed = (blurred.amax(0) - blurred.amin(0)).amax(0, keepdim=True) > notable
    by_change = odds.clamp_min(0) + CHANGED * (has_changed & (odds < 0))
    return torch.where(plate.trusted, joined, by_change)


def difference_to(frames: Tensor, plate: Plate) -> Tensor:
    """Return how far each pixel is from a fixed background, ``(T, h, w)``.

    A difference of 1 is notable: more than noise, compression and slight changes of light.

    frames: ``(T, 3, h, w)`` in [0, 1]. plate: of this size.
    """
    difference, notable = _difference_and_limit(frames, plate)
    return difference / notable


def _difference_and_limit(frames: Tensor, plate: Plate) -> tuple[Tensor, Tensor]:
    """Return the difference of colour to the plate, ``(T, h, w)``, and from where it is notable."""
    difference = torch.cat(
        [box((frame - plate.picture).abs().amax(0)[None, None], 1) for frame in frames]
    )[:, 0]
    return difference, LEAST_DIFFERENCE + NOISE_FACTOR * difference.median()
