"""Give the airlight the colour that the veil of haze shows over dark things.

Over black, a pixel shows the airlight's colour. But most scenes are rather warm, so reddish floors
tell nothing. Only two things are believed:

- All veiled windows are bluer than the airlight: then the air itself is blue.
- All veiled windows agree: then they show its colour exactly.

The numbers were chosen on the pictures that :mod:`stages.dehaze.evidence` names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.dehaze.floors import DARKER_PART, Floors, quantile_or_zero
from stages.dehaze.model import fraction_between

# Blueness is the log ratio of blue to red in a window's floor, both in parts of the airlight.
SURE_BLUENESS = 0.1  # of the least blue windows, from which the veil surely is bluer
AGREED_RANGE = 0.06  # range of blueness over the windows up to which they agree
DISAGREED_RANGE = 0.1  # range from which they do not
LEAST_FLOOR = 0.01  # added to each channel, because the ratio of two dark values is noise
MIDDLE = 0.5  # part of the windows that lies below the middle one


def veil_color(floors: Floors, airlight: Tensor) -> Tensor:
    """Return ``airlight`` ``(1, 3, 1, 1)`` with the colour that the veil shows over dark things.

    floors: measured under ``airlight``.
    """
    veiled = floors.veil > quantile_or_zero(floors.veil, floors.texture, MIDDLE)
    weight = floors.texture * veiled
    channels = floors.channels + LEAST_FLOOR
    red, green, blue = (channels[:, each : each + 1] for each in range(3))
    blueness = (blue / red).log()
    low, middle, high = (
        quantile_or_zero(blueness, weight, part) for part in (DARKER_PART, MIDDLE, 1 - DARKER_PART)
    )
    is_bluer = low / SURE_BLUENESS
    agree = fraction_between(high - low, DISAGREED_RANGE, AGREED_RANGE)
    sure = min(1.0, max(is_bluer, agree))
    # Leaves make floors green. In air, blue grows faster than green.
    greenness = quantile_or_zero((green / red).log(), weight, MIDDLE)
    greener = min(greenness, max(0.0, middle) / 2)
    shift = sure * torch.tensor([0.0, greener, middle]).view(1, 3, 1, 1)
    # The brightest channel stays as it is: where it is white, nothing is above white.
    return airlight * (shift - shift.max()).exp()
