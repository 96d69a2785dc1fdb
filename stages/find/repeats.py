"""Repeated frames: film at 24 pictures a second shown at 30, animation on twos or threes.

A repeated frame is one in a run of at most three equal frames between frames that move. A picture
that stands still for longer is a still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.find.curve import Curve
from stages.find.features import Array

REACH = 2  # frames on each side that are looked at: the longest run shows a picture three times
SMALL = 0.1  # part of the steps around it below which a frame does not move
LEAST_SHARE = 0.15  # of the frames that are repeated or move; film at 30 has 0.2, animation 0.5
EQUAL = 0.001  # mean absolute difference in [0, 1] that coding leaves between equal small frames


def repeated_frames(frames: Array, low: int, high: int) -> list[int]:
    """Return the places in ``low..high`` of frames that repeat the one before them.

    frames: ``(T, H, W, 3)``. The list is empty where so few are repeated that it may be chance:
    what moves slowly may rest for a frame.
    """
    steps = np.abs(np.diff(frames[low : high + 1], axis=0)).mean((1, 2, 3))
    found = []
    for place in range(1, len(steps) - 1):
        before = float(steps[max(0, place - REACH) : place].max())
        behind = float(steps[place + 1 : place + 1 + REACH].max())
        if steps[place] < min(EQUAL, SMALL * min(before, behind)):
            found.append(low + place + 1)
    moving = int((steps > EQUAL).sum())
    return found if len(found) >= LEAST_SHARE * (len(found) + moving) else []


def tie_repeated(mix: Curve, first: int, repeated: Sequence[int]) -> Curve:
    """Give all frames that show the same picture the mean of their weights.

    mix: weights ``(T,)`` of the frames from ``first`` on. repeated: as :func:`repeated_frames`
    returns them.
    """
    inside = [place for place in repeated if first < place < first + len(mix)]
    group = np.cumsum([place not in inside for place in range(first, first + len(mix))]) - 1
    means = np.bincount(group, mix) / np.bincount(group)
    return np.asarray(means[group], np.float64)
